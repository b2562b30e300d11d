"""The evidence of a system, its form and its parts."""
