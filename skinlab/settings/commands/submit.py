"""The settings of ``skinlab.submit``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from skinlab.settings.command import CommandSettings, TableSettings, required
from skinlab.settings.data import DataSettings
from skinlab.settings.part import Part
from skinlab.settings.types import Count, Names, Number, Share, Text, path_to

Prevalence = Annotated[Number, Field(gt=0, lt=1)]


def _at_least_one(values: list[float]) -> list[float]:
    if not values:
        raise ValueError("give one share or more, or leave it out")
    return values


class SubmitSettings(TableSettings, CommandSettings):
    """``conf/submit.yaml``."""

    data: DataSettings
    check: Annotated[Text, required("FILE.csv")]
    sample: Annotated[Text, path_to("a sample submission", "sample=SAMPLE.csv")] | None
    predictions: Annotated[Text, path_to("a run, a sweep or a table", "predictions=SWEEP")] | None
    positive: Names | None
    prevalences: Annotated[list[Prevalence], AfterValidator(_at_least_one)] | None
    public_share: Annotated[Number, Field(gt=0, le=1)] | None
    score: Share | None
    log: Annotated[Text, path_to("a file", "log=FILE.jsonl")]
    note: Text | None
    n_draws: Annotated[Count, Field(ge=100)]
    level: Annotated[Number, Field(gt=0.5, lt=1)]
    seed: Annotated[int, Field(ge=0)]

    def parts(self) -> dict[str, Part]:
        """Return what is built from a ``_target_``, by its place."""
        return {"data.reader": self.data.reader}
