"""One file a data set; each turns a directory into a manifest."""
