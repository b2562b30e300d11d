"""Loggers that never stop a training, and what they are sent."""
