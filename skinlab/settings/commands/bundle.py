"""The settings of ``skinlab.bundle``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from skinlab.settings.command import DecideBy, WorkerSettings, required
from skinlab.settings.types import Count, Names, Number, Places, Text, path_to, read_names


def _rules_or_file(value: Any) -> Any:
    """Return the place of a file as it is, and anything else as a list of rules."""
    is_file = isinstance(value, str) and ("/" in value or value.endswith(".json") or Path(value).expanduser().is_file())
    return value if is_file or value is None else read_names(value)


class BundleSettings(WorkerSettings):
    """``conf/bundle.yaml``."""

    ckpt: Annotated[Places, required("RUN_OR_FILE")]
    output: Annotated[Text, required("FILE.bundle")]
    overwrite: bool
    format: Literal["bundle", "safetensors", "onnx"]
    combine: Text
    weights: list[Number] | None
    calibrator: Text
    thresholds: Annotated[list[str] | str | None, BeforeValidator(_rules_or_file)]
    positive: Names | None
    cost_ratio: Annotated[Number, Field(gt=0)]
    prevalence: Annotated[Number, Field(gt=0, lt=1)] | None
    decide: Text | None
    decide_by: DecideBy
    conformal: Annotated[Number, Field(gt=0, lt=1)] | None
    gate: Literal["auto", "fit", "none"]
    gate_alarms: Annotated[Number, Field(gt=0, lt=1)]
    gate_split: Annotated[Text, path_to("a table of images", "gate_split=split.csv")] | None
    gate_images: Count
    seed: int

    def mistakes(self) -> Iterator[str]:
        """Refuse positive classes or a prevalence that nothing depends on."""
        if isinstance(self.thresholds, list) or self.decide == "cost":
            return
        if self.calibrator != "none" and Path(self.calibrator).suffix != ".json" and self.prevalence:
            return
        for name, value in (("positive", self.positive), ("prevalence", self.prevalence)):
            if value:
                fitted = " or calibrator=temperature" if name == "prevalence" else ""
                yield f"{name}= goes with rules, as in thresholds=[f1]{fitted}; a thresholds.json names its own"
