"""Skin lesion classification when labels are scarce and classes are skewed."""
