"""Find bad images, copies and unclean text in a data set."""
