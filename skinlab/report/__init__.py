"""Pages, charts, model card and terminal output, made from evidence and predictions."""
