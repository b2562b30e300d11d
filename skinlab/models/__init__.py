"""Networks (timm), the supervised LightningModule, its optimiser and prediction."""
