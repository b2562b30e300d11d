"""From a command line to checked settings: Hydra, plugins, exit codes, one-line errors."""
