"""A calibrator at a stated prevalence: as it is fitted, then corrected to that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.calibration.calibrators import Calibrator, calibrator_from_dict
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CalibratorAtPrevalence:
    """A calibrator whose probabilities are corrected to a stated prevalence (Saerens et al., 2002).

    >>> from skinlab.evaluation.calibration.calibrators import Temperature
    >>> CalibratorAtPrevalence(Temperature(1.0), (1.8, 0.2), 0.1)(np.array([[0.5, 0.5]])).round(3)
    array([[0.9, 0.1]])

    Attributes:
        calibrator: for the shares of the classes among the images it is fitted on.
        factors: ``(C,)`` by which the share of each class changes.
        prevalence: share of the positives.
    """

    calibrator: Calibrator
    factors: tuple[float, ...]
    prevalence: float

    @classmethod
    def of(cls, calibrator: Calibrator, stated: StatedPrevalence, target: Ints) -> Self:
        """Return a calibrator that is fitted on images of the classes ``(N,)`` at a prevalence."""
        shares = np.bincount(target, minlength=len(stated.positive)).astype(np.float64)
        return cls(calibrator, tuple(stated.factors(shares).tolist()), stated.share)

    def __call__(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities ``(N, C)``."""
        mass = self.calibrator(probabilities) * np.array(self.factors)
        return np.asarray(mass / mass.sum(1, keepdims=True))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: those of the calibrator, and its correction."""
        return self.calibrator.to_dict() | {"factors": list(self.factors), "prevalence": self.prevalence}


def stored_calibrator(values: Mapping[str, Any]) -> Calibrator | CalibratorAtPrevalence:
    """Return the calibrator that ``to_dict`` described; ValueError where a value is missing."""
    calibrator = calibrator_from_dict(values)
    if "factors" not in values:
        return calibrator
    return CalibratorAtPrevalence(calibrator, tuple(map(float, values["factors"])), float(values["prevalence"]))
