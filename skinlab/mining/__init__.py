"""Rank an unlabeled pool for annotation, and estimate its share of positives."""
