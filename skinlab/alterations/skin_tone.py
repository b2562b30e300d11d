"""The individual typology angle of the skin in an image: a weak proxy of skin tone.

Light, white balance and the dermoscope change it, and methods of measuring it disagree (Kalb et al., 2023,
arXiv 2308.09640).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

# The least angle in degrees of each class but the darkest (Chardon et al., 1991; Del Bino and Bernerd, 2013).
BANDS = {"very light": 55.0, "light": 41.0, "intermediate": 28.0, "tan": 10.0, "brown": -30.0}
DARKEST = "dark"
SEEN = 20.0  # CIELAB lightness from which a pixel is skin, and not hair or the dark corner of a dermoscope


def typology_angle(image: Image, skin: Mask) -> float:
    """Return the angle in degrees, arctan((L - 50) / b) of the medians over the skin; NaN where none is seen.

    Args:
        image: uint8 RGB ``(S, S, 3)``.
        skin: the pixels around the lesion, ``(S, S)``.

    >>> pale = np.full((4, 4, 3), (235, 205, 190), np.uint8)
    >>> round(typology_angle(pale, np.ones((4, 4), bool)))
    72
    """
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[skin]
    lab = lab[lab[:, 0] >= SEEN]
    if not len(lab):
        return float("nan")
    lightness, _, b = np.median(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, b)))


def tone_band(angle: float) -> str:
    """Return the class of an angle in degrees; "" of NaN.

    >>> tone_band(60), tone_band(41), tone_band(-40), tone_band(float("nan"))
    ('very light', 'light', 'dark', '')
    """
    if np.isnan(angle):
        return ""
    return next((name for name, least in BANDS.items() if angle >= least), DARKEST)
