"""The settings of ``skinlab.ensemble``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from skinlab.settings.command import EvaluationCommandSettings, Split, TableSettings, required
from skinlab.settings.types import Count, Places, Text


class EnsembleSettings(EvaluationCommandSettings, TableSettings):
    """``conf/ensemble.yaml``."""

    runs: Annotated[Places, required("A,B")]
    split: Split
    method: Text
    search: Text | None
    max_size: Count
    bundle: bool | Literal["auto"]

    def mistakes(self) -> Iterator[str]:
        """Refuse thresholds for an ensemble that combines decisions instead of probabilities."""
        if self.method == "overlap" and self.apply_thresholds is not None:
            yield "apply_thresholds= and method=overlap: an overlap has its own thresholds; leave one out"
