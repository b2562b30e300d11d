"""Calibrators and conformal prediction."""
