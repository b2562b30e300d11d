"""Losses for skewed classes: functions that return the loss of each image, and modules that average it.

Weighted losses, too, are averaged over images and not over weights, so that the mean over two halves of a batch, or
over two processes, is the mean over all.
"""
