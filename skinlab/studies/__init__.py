"""The study of the unlabeled pool: its plan, its jobs and its results."""
