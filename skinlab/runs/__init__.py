"""A training or pretraining run: its parts, its directory, its provenance."""
