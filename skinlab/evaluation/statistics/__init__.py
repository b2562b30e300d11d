"""Intervals, comparisons, studies and their power."""
