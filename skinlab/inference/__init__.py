"""Predict images with trained models: prediction, TTA, bundles, export, input gate, Grad-CAM."""
