"""Define what is computed from predictions: ``evidence=`` of a training, and of every command that evaluates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from skinlab.settings.base import Settings
from skinlab.settings.types import Count, Names, NamesOrEmpty, Number


class EvidenceSettings(Settings):
    """Metrics with intervals, thresholds and calibration, from predictions alone."""

    positive: Names | None
    prevalence: Annotated[Number, Field(gt=0, lt=1)] | None
    thresholds: NamesOrEmpty
    cost_ratio: Annotated[Number, Field(gt=0)]
    calibration: bool
    saliency: bool | Literal["auto"]
    n_draws: Annotated[Count, Field(ge=100)]
    level: Annotated[Number, Field(gt=0.5, lt=1)]
    seed: Annotated[int, Field(ge=0)]
