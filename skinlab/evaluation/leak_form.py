"""The form of a leak meter's ``leaks.json``; numbers are null where undefined, differences are leaked minus clean."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.form import Provenance
from skinlab.evaluation.evidence.interval_form import Interval

FORMAT = 1


class Measured(TypedDict):
    """A metric without and with a leak, on the same test images."""

    clean: Interval
    leaked: Interval
    difference: Interval


class LeakResult(TypedDict):
    """A leak at one share, or why it was not measured.

    `images` are those that leak. `on_leaked` are the metrics on the test images alone that leak, or whose lesion does.
    """

    kind: str
    title: str
    share: float | None
    images: int
    status: Literal["run", "not run"]
    reason: str
    metrics: dict[str, Measured]
    on_leaked: dict[str, Measured]


class LeakEvidence(TypedDict):
    """The content of ``leaks.json``."""

    format: int
    kind: Literal["leaks"]
    level: float
    provenance: Provenance
    data: str
    split_sha256: str
    network: str
    init: str
    image_size: int
    epochs: int
    pretrain_epochs: int
    seeds: list[int]
    images: dict[str, int]
    lesions: int
    leaks: list[LeakResult]
    cautions: list[str]
