"""Ranking an unlabeled pool for annotation."""
