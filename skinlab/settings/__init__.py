"""Define and check the settings of all commands, and read those of a recorded run."""
