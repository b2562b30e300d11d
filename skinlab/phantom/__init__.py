"""Dermoscopy-like images drawn from random numbers: seven diagnoses, devices, artefacts, and the truth about each.

`traits` says what a diagnosis looks like; `outline`, `skin`, `pigment`, `vessels` and `surface` paint it on a `patch`;
`devices` and `artefacts` come between it and the picture; `scene` puts these together; `plan`, `tables` and `writer`
make a data set of it.
"""

from skinlab.phantom.plan import Settings
from skinlab.phantom.writer import ensure_phantom

__all__ = ["Settings", "ensure_phantom"]
