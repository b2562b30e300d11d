"""The page of the shift battery."""
