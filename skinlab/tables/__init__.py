"""Tables as people have them: text, image ids, labels and predictions."""
