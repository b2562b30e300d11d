"""The settings of ``skinlab.predict``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainValidator

from skinlab.settings.command import LoadingSettings, required
from skinlab.settings.types import Places, Text, path_to, read_names


def _is_probability(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _confidence(value: Any) -> Any:
    """Return a probability, or those of classes with their names as text: Hydra reads digits as a number."""
    if _is_probability(value):
        return value
    if isinstance(value, dict) and value and all(map(_is_probability, value.values())):
        return dict(zip(read_names(list(value)), value.values(), strict=True))
    raise ValueError("a probability from 0 to 1 is expected, or one a class, as in 'confidence={mel: 0.8, nv: 0.99}'")


def _threshold(value: Any) -> Any:
    if _is_probability(value) or isinstance(value, str):
        return value.lower() if isinstance(value, str) else value
    raise ValueError("a probability from 0 to 1, or a rule of the model's thresholds, such as f1, is expected")


def _off(value: Any) -> Any:
    return "off" if value is False else value  # what YAML makes of off


class PredictSettings(LoadingSettings):
    """``conf/predict.yaml``."""

    ckpt: Annotated[Places, required("RUN_OR_FILE")]
    input: Annotated[Text, required("FOLDER_OR_CSV_OR_IMAGE")]
    output: Annotated[Text, required("FILE.csv")]
    overwrite: bool
    columns: dict[str, Text | None]
    label_map: dict[Any, Any] | None
    format: Literal["table", "kaggle", "isic", "labels"]
    confidence: Annotated[float | dict[str, float], PlainValidator(_confidence)]
    threshold: Annotated[float | str, PlainValidator(_threshold)] | None
    decide: Text
    tta: Text
    gate: Annotated[Literal["warn", "error", "off"], BeforeValidator(_off)]
    explain: Annotated[Text, path_to("a folder for the pictures", "explain=PICTURES")] | None

    def mistakes(self) -> Iterator[str]:
        """Refuse a threshold for a format that holds probabilities alone."""
        if self.threshold is not None and self.format == "isic":
            yield f"threshold={self.threshold}: format=isic holds probabilities alone; leave threshold= out"
        if self.threshold is not None and self.format == "labels":
            yield f"threshold={self.threshold}: format=labels goes by confidence=; leave threshold= out"
        if self.decide != "auto" and self.threshold is not None:
            yield f"decide={self.decide}: threshold={self.threshold} calls already; leave one of them out"
