"""The run directory, seeding, loggers and the door to Hydra."""
