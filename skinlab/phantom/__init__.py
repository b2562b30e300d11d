"""Procedural dermoscopy-like images: seven diagnoses, devices and artefacts, with their ground truth.

`traits` describes the diagnoses; `outline`, `skin`, `pigment`, `vessels` and `surface` paint a lesion on a `patch`;
`devices` and `artefacts` change the picture of it; `scene` combines these; `plan`, `tables` and `writer` make the data
set.
"""

from skinlab.phantom.plan import Settings
from skinlab.phantom.writer import ensure_phantom

__all__ = ["Settings", "ensure_phantom"]
