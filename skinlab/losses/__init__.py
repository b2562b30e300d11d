"""Losses for skewed classes: pure functions, and thin modules that only hold their settings."""
