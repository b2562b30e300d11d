"""Metrics computed from predictions tables; imports nothing else of the package, and never torch."""
