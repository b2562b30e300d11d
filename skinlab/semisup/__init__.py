"""Semi-supervision: strategies that learn from labelled images and the unlabeled pool at once."""
