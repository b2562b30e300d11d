"""Alter images: corruptions of the acquisition, drawn artefacts and colours, from uint8 images to uint8 images."""
