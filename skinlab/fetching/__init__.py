"""Fetch public data sets: catalogue, licence, download, unpacking."""
