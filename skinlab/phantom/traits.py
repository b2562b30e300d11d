"""The appearance of each diagnosis: a table of numbers, a table of structures, and the overlap of diagnoses."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
MALIGNANT = ("akiec", "bcc", "mel")

# Similarity to other classes and faintness of structures, from 0, textbook pictures, to 1, undecidable ones.
DIFFICULTY = 0.3


@dataclass(frozen=True)
class Traits:
    """Numbers that describe a whole lesion; lengths in units of half the picture's width.

    Attributes:
        radius: mean radius.
        elongation: long by short axis.
        asymmetry: relative strength of the lobes.
        irregularity: waviness of the border.
        jaggedness: fine, moth-eaten notches of the border.
        softness: half the width over which the border fades.
        melanin: absorbance of its brown.
        redness: absorbance of its red.
        keratin: absorbance of its yellow.
        variegation: spread of its colours, as log-amplitude.
    """

    radius: float
    elongation: float
    asymmetry: float
    irregularity: float
    jaggedness: float
    softness: float
    melanin: float
    redness: float
    keratin: float
    variegation: float


#                 radius long  asym  wavy  jag   soft  brown red   horn  colours
TYPICAL = {
    "nv": Traits(0.57, 1.22, 0.10, 0.45, 0.25, 0.120, 1.15, 0.16, 0.28, 0.16),
    "mel": Traits(0.70, 1.30, 0.28, 1.00, 0.60, 0.090, 1.25, 0.20, 0.28, 0.50),
    "bkl": Traits(0.66, 1.25, 0.16, 0.70, 1.10, 0.050, 0.62, 0.08, 0.55, 0.26),
    "bcc": Traits(0.60, 1.25, 0.20, 0.80, 0.40, 0.160, 0.16, 0.32, 0.05, 0.32),
    "akiec": Traits(0.76, 1.35, 0.20, 1.00, 0.50, 0.220, 0.18, 0.30, 0.20, 0.45),
    "vasc": Traits(0.48, 1.20, 0.12, 0.55, 0.25, 0.040, 0.15, 0.95, 0.00, 0.25),
    "df": Traits(0.66, 1.15, 0.08, 0.35, 0.15, 0.200, 0.42, 0.20, 0.15, 0.18),
}
# Spread of each trait over lesions, as the standard deviation of its logarithm.
_SPREAD = Traits(0.33, 0.12, 0.45, 0.35, 0.50, 0.40, 0.42, 0.50, 0.70, 0.35)

# Probability of each structure, in the order of painting, from the depth of the skin to its surface.
STRUCTURES = {
    "network": {"nv": 0.60, "mel": 0.25, "bkl": 0.10, "df": 0.05},
    "atypical_network": {"mel": 0.60, "nv": 0.05},
    "fine_network": {"df": 0.85, "nv": 0.05},
    "globules": {"nv": 0.40, "mel": 0.15},
    "blotch": {"mel": 0.55, "nv": 0.08, "bkl": 0.05},
    "ridges": {"bkl": 0.50},
    "nests": {"bcc": 0.65, "mel": 0.03},
    "lacunae": {"vasc": 0.95},
    "thrombus": {"vasc": 0.35},
    "irregular_dots": {"mel": 0.55, "nv": 0.06, "bcc": 0.05},
    "streaks": {"mel": 0.40, "nv": 0.04},
    "veil": {"mel": 0.50, "bcc": 0.05, "nv": 0.03, "vasc": 0.10},
    "regression": {"mel": 0.30, "bkl": 0.05, "nv": 0.02},
    "scar": {"df": 0.85},
    "strawberry": {"akiec": 0.65},
    "dotted_vessels": {"akiec": 0.50, "mel": 0.08, "nv": 0.03},
    "arborising_vessels": {"bcc": 0.80, "mel": 0.04},
    "ulcer": {"bcc": 0.35, "akiec": 0.10, "mel": 0.05},
    "shiny_streaks": {"df": 0.35, "bcc": 0.20, "mel": 0.08},
    "comedo_openings": {"bkl": 0.55, "nv": 0.03},
    "milia": {"bkl": 0.60, "nv": 0.03, "bcc": 0.04},
    "scale": {"akiec": 0.75, "bkl": 0.12, "bcc": 0.08},
}
_LOOKALIKES = {
    "nv": ("mel", "bkl", "df"),
    "mel": ("nv", "nv", "bkl", "bcc"),
    "bkl": ("mel", "nv", "akiec"),
    "bcc": ("akiec", "mel", "df"),
    "akiec": ("bcc", "bkl", "bkl"),
    "vasc": ("mel", "bcc", "nv"),
    "df": ("nv", "bcc", "bkl"),
}


def draw_traits(rng: np.random.Generator, dx: str) -> tuple[Traits, dict[str, float]]:
    """Draw the traits of a lesion of a class, and the strength of each of its structures.

    It is a mixture with a similar class, of a random share that `DIFFICULTY` scales.
    """
    other = _LOOKALIKES[dx][rng.integers(len(_LOOKALIKES[dx]))]
    lean = DIFFICULTY * rng.beta(1.0, 1.6)
    mean = np.exp((1 - lean) * _logs(TYPICAL[dx]) + lean * _logs(TYPICAL[other]))
    values = mean * np.exp(np.array(astuple(_SPREAD)) * rng.standard_normal(len(mean)))
    values[0] = np.clip(values[0], 0.16, 1.05)
    strengths = {}
    for name, chances in STRUCTURES.items():
        chance = (1 - lean) * chances.get(dx, 0.0) + lean * chances.get(other, 0.0)
        present, strength = rng.random() < chance, rng.uniform(1 - DIFFICULTY, 1)
        if present:
            strengths[name] = float(strength)
    return Traits(*values.tolist()), strengths


def _logs(traits: Traits) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(astuple(traits), 0.01)))
