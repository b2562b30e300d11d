"""One module per command, each readable from top to bottom."""
