"""Self-supervised pretraining: one file a method, one module that trains any of them."""
