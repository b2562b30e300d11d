"""The settings of commands: what they may be, and those of a recorded run."""
