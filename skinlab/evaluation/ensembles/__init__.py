"""Combine the predictions of several systems, and choose which."""
