"""Compare the images of a prediction with the training images by the input gate."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from skinlab.errors import UserError, some
from skinlab.inference.gate import Gate
from skinlab.text import portion, printable

log = logging.getLogger(__name__)

NAMED = 20  # foreign images that a message names; the rest are counted


class InputGateMonitor:
    """Collects the distance of every image at the input gate, and warns of the foreign ones or refuses them.

    Args:
        gate: the bundle's.
        paths: file of each row.
        setting: ``warn`` or ``error``.
    """

    def __init__(self, gate: Gate, paths: Sequence[str], setting: str) -> None:
        self.gate, self.paths, self.setting = gate, paths, setting
        self.ratios: dict[int, float] = {}

    def add(self, rows: np.ndarray, statistics: np.ndarray) -> bool:
        """Add some images; return whether they have to be predicted: with ``error`` not, once one is foreign.

        Args:
            rows: numbers of the images.
            statistics: the gate's statistics of each, ``(B, F)``.
        """
        if len(rows):
            self.ratios |= dict(zip(rows.tolist(), self.gate.distance_ratio(statistics).tolist(), strict=True))
        return self.setting == "warn" or not self.foreign()

    def foreign(self) -> list[int]:
        """Return the rows of the foreign images so far."""
        return [row for row, ratio in self.ratios.items() if not ratio <= 1]

    def report(self) -> None:
        """Warn of the foreign images, or refuse them.

        Raises:
            UserError: there are foreign images, and they are an error.
        """
        if not (foreign := self.foreign()):
            return
        named = some((printable(self.paths[row]) for row in foreign), NAMED)
        message = (
            f"{portion(len(foreign), len(self.ratios), 'image', 'differs')} from the dermoscopic images that the "
            f"model was trained on: {named}"
        )
        if self.setting == "error":
            raise UserError(f"{message}; remove them, or predict them all the same: gate=warn")
        log.warning("%s; do not rely on their probabilities", message)

    def distance_ratios(self) -> np.ndarray:
        """Return distance over threshold of all images, ``(N,)``, in the order they came."""
        return np.array(list(self.ratios.values()))
