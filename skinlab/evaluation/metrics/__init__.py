"""The registry of metrics, their computation on weighted predictions, and curves."""
