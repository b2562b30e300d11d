"""Self-supervised pretraining: one file per method, one LightningModule for all of them."""
