"""Lightning callbacks: probe, weight averaging, frozen layers, early stopping, atomic checkpoints."""
