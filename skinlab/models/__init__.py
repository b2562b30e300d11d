"""Backbones, the supervised LightningModule and what inference needs."""
