"""From predictions on disk to evidence on disk."""
