"""From a trained model and image files to probabilities."""
