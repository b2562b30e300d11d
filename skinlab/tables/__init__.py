"""Tables of predictions and labels: text, image ids, columns, splits."""
