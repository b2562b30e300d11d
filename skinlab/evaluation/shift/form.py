"""The form of the shift battery's ``evidence.json``.

Numbers are null where they are undefined. Metrics go by their names in ``metrics.json``; those of decisions are at the
threshold that was frozen at home.
"""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from skinlab.evaluation.evidence.form import Provenance
from skinlab.evaluation.evidence.interval_form import Interval, Metrics, Number

FORMAT = 1


class Change(TypedDict):
    """The difference of a metric to the reference of its probe, with the p of no difference."""

    difference: Interval
    p: Number


class Condition(TypedDict):
    """Images under one condition, such as a corruption at one severity, or those of one source.

    `changes` are to the probe's reference; `flipped` is the share of images whose decision at the threshold is another
    than on the unaltered image, `flipped_p` the p that it is :data:`skinlab.evaluation.shift.yardstick.MAX_FLIPPED`.
    A `note` says why something is missing.
    """

    name: str
    dose: str
    images: int
    groups: int
    metrics: Metrics
    changes: dict[str, Change]
    flipped: NotRequired[Interval]
    flipped_p: NotRequired[Number]
    note: NotRequired[str]


class Flag(TypedDict):
    """What a probe found: `breaks` harms patients (sensitivity, specificity or calibration), `watch` may."""

    level: Literal["breaks", "watch"]
    sentence: str
    size: float  # of the change, for the order of the verdict


class Picture(TypedDict):
    """A picture of a condition, a file in the output's folder."""

    title: str
    dose: str
    file: str


class TableRow(TypedDict):
    """A row of a table: a text, a count or a number with its interval in each column."""

    name: str
    cells: list[Interval | int | str]


class Table(TypedDict):
    """Numbers beside the metrics of decisions, such as shares of a map; the first column is of the rows' names.

    Those of a `signed` table are changes.
    """

    title: str
    columns: list[str]
    rows: list[TableRow]
    signed: NotRequired[bool]


class ProbeResult(TypedDict):
    """What a probe found, or why it was not run; it holds where it ran without a flag and has no outcome.

    `published` is what others found. The outcome is that of a probe which compares trainings, such as which of them
    helps.
    """

    name: str
    title: str
    question: str
    published: str
    status: Literal["run", "not run"]
    reason: str
    seconds: float
    reference: str
    conditions: list[Condition]
    flags: list[Flag]
    notes: list[str]
    tables: list[Table]
    outcome: list[str]
    pictures: list[Picture]


class Threshold(TypedDict):
    """The threshold that was frozen at home."""

    rule: str
    value: float
    chosen_on: str
    positive: list[str]


class Place(TypedDict):
    """Images that the model was tried on, home or outside, with how many were left out for each reason."""

    name: str
    images: int
    groups: int
    support: dict[str, int]
    left_out: dict[str, int]


class Published(TypedDict):
    """The largest harm that a probe found, beside what others found."""

    title: str
    here: str
    published: str


class Verdict(TypedDict):
    """The page on top: what breaks, what to watch, which trainings help, what holds, and what was not run."""

    headline: list[str]
    breaks: list[str]
    watch: list[str]
    trainings: list[str]
    holds: list[str]
    not_run: list[str]
    beside: list[Published]


class ShiftEvidence(TypedDict):
    """The content of the battery's ``evidence.json``."""

    format: int
    kind: Literal["shift"]
    model: str
    classes: list[str]
    level: float
    seed: int
    provenance: Provenance
    threshold: Threshold
    home: Place | None
    outside: Place | None
    verdict: Verdict
    probes: list[ProbeResult]
