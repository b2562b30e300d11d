"""Lightning callbacks: probe, averaged weights, frozen layers, early stopping, safe checkpoints."""
