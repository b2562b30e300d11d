"""A study: its plan, its jobs and what they show."""
