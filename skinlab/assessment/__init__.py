"""Evaluate predictions on disk: which systems are meant, their evidence files, their worst mistakes."""
