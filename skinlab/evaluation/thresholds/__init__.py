"""Choose thresholds, freeze them, and evaluate the decisions they make."""
