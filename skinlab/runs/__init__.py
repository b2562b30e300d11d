"""Build, fit, continue and record a training or pretraining run."""
