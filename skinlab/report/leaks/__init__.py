"""The page of a leak meter."""
