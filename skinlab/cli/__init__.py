"""Turn a command line into checked settings and run its command: Hydra, plugins, exit codes, one-line errors."""
