"""Probes of a trained model on altered images and on other images than its own; one file a probe."""
