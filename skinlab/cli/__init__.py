"""From a command line to a checked config: Hydra, exit codes, one-line errors."""
