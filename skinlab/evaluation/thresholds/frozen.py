"""Thresholds in files: chosen on some rows for some classes, applied to other rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.overlap import refuse_overlap, row_keys
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.choice import (
    FIXED_BEFOREHAND,
    MIX_RULES,
    choose_threshold,
    is_fixed,
    parse_rule,
    threshold_interval,
)

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

CHOOSE_ELSEWHERE = (
    "choose it on images of other lesions, such as validation images, or cross-fit it: python -m skinlab.evaluate … "
    "cross_fit=true, without apply_thresholds= and apply_decision="
)


@dataclass(frozen=True)
class FrozenThreshold:
    """A threshold as it is written to a file, with where it comes from.

    Attributes:
        rule: how it was chosen.
        threshold: a row is predicted positive at ``score >= threshold``.
        low: lower end of the threshold's interval; None where it has none.
        high: upper end.
        positives: number of positives it was chosen on; None of one that was fixed beforehand.
        chosen_on: those rows in words, such as ``val, 1603 images``.
        rows_sha256: hash of their sorted image ids.
        rows: what tells them again, see :func:`skinlab.evaluation.overlap.row_keys`; older files have none.
        positive: the classes whose summed probability is the score.
        cost_ratio: what a missed positive costs in false positives, for the rule ``cost``.
        prevalence: share of positives that the threshold is for, where its rule depends on it; None: that of the rows
            it was chosen on.
    """

    rule: str
    threshold: float
    low: float | None
    high: float | None
    positives: int | None
    chosen_on: str
    rows_sha256: str
    positive: list[str]
    cost_ratio: float = 1.0
    prevalence: float | None = None
    rows: dict[str, str] = field(default_factory=dict)

    def __call__(self, score: Floats) -> Bools:
        """Return which rows are predicted positive, ``(N,)``."""
        return np.asarray(score >= self.threshold)

    def in_words(self) -> str:
        """Return the threshold, with its interval where it has one."""
        span = "" if self.low is None else f" ({self.low:.4f} to {self.high:.4f})"
        return f"{self.threshold:.4f}{span}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` described; ValueError where a value is missing."""
        names = [each.name for each in fields(cls)]
        missing = [
            name for name in names if name not in values and name not in ("prevalence", "rows")
        ]  # older files have none
        if missing:
            raise ValueError(f"a frozen threshold lacks {', '.join(missing)}: freeze it again")
        return cls(**{name: values[name] for name in names if name in values})


def thresholds_to_list(thresholds: Sequence[FrozenThreshold]) -> list[dict[str, Any]]:
    """Return the thresholds of a system for JSON; rows that several were chosen on stand with the first, else null.

    >>> first = FrozenThreshold("f1", 0.3, None, None, 9, "val", "ab", ["mel"], rows={"image_id": "…"})
    >>> [each["rows"] for each in thresholds_to_list([first, first])]
    [{'image_id': '…'}, None]
    """
    written = list[dict[str, str]]()
    found = []
    for each in thresholds:
        again = bool(each.rows) and each.rows in written
        found.append(each.to_dict() | ({"rows": None} if again else {}))
        written.append(each.rows)
    return found


def thresholds_from_list(values: Iterable[Mapping[str, Any]]) -> list[FrozenThreshold]:
    """Return what :func:`thresholds_to_list` described.

    Raises:
        ValueError: a value is missing, or the rows that another rule has are.
    """
    read, known = list[FrozenThreshold](), dict[str, dict[str, str]]()
    for row in values:
        each = FrozenThreshold.from_dict(row)
        if each.rows is None:
            if each.rows_sha256 not in known:
                raise ValueError(f"the rows of {each.rule} stood with another rule, which is gone: evaluate again")
            each = replace(each, rows=known[each.rows_sha256])
        known.setdefault(each.rows_sha256, each.rows)
        read.append(each)
    return read


def fixed_threshold(rule: str, positive: Sequence[str], cost_ratio: float = 1.0) -> FrozenThreshold:
    """Return the threshold of a rule ``p>=T``, which no rows have a part in.

    Args:
        rule: such as ``p>=0.3``.
        positive: the classes whose summed probability it is for.
        cost_ratio: what a missed positive costs in false positives.

    >>> fixed_threshold("p>=0.3", ["mel"]).in_words()
    '0.3000'
    """
    _, level = parse_rule(rule)
    return FrozenThreshold(rule, level, None, None, None, FIXED_BEFOREHAND, "", list(positive), cost_ratio)


def freeze(
    view: Predictions,
    rule: str,
    chosen_on: str,
    positive: Sequence[str],
    cost_ratio: float = 1.0,
    level: float = 0.95,
    prevalence: float | None = None,
) -> FrozenThreshold:
    """Choose a threshold with its interval and bind it to the rows it was chosen on, and to its positive classes.

    Rows have no part in one that was fixed beforehand, see :func:`fixed_threshold`.

    Args:
        view: the rows to choose on, two classes, the last one positive.
        rule: see :func:`skinlab.evaluation.thresholds.choice.choose_threshold`.
        chosen_on: those rows in words.
        positive: the classes that are positive in the view.
        cost_ratio: what a missed positive costs in false positives, for the rule ``cost``.
        level: of the interval.
        prevalence: share of positives that rules are for which depend on it.
    """
    if is_fixed(rule):
        return fixed_threshold(rule, positive, cost_ratio)
    score, truth = view.probabilities[:, 1], view.target == 1
    prevalence = prevalence if rule in MIX_RULES else None
    threshold = choose_threshold(score, truth, rule, cost_ratio, prevalence=prevalence)
    low, high = threshold_interval(score, truth, view.group, rule, level) or (None, None)
    return FrozenThreshold(
        rule,
        threshold,
        low,
        high,
        positives=int(truth.sum()),
        chosen_on=chosen_on,
        rows_sha256=rows_hash(view.image_id),
        positive=list(positive),
        cost_ratio=cost_ratio,
        prevalence=prevalence,
        rows=row_keys(view),
    )


def rows_hash(image_ids: Iterable[str]) -> str:
    """Return the SHA-256 of a set of rows, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, image_ids))).encode()).hexdigest()


def refuse_other_positives(frozen: FrozenThreshold, positive: Sequence[str]) -> None:
    """Raise ValueError where a threshold is to be applied to the score of other classes than it was chosen for."""
    if set(positive) != set(frozen.positive):
        raise ValueError(
            f"the threshold for {frozen.rule} was chosen for positive={','.join(frozen.positive)}, not "
            f"positive={','.join(positive)}: set positive={','.join(frozen.positive)}, or choose it again"
        )


def refuse_same_rows(frozen: FrozenThreshold, rows: Predictions) -> None:
    """Raise ValueError where a threshold is to be applied to rows it was chosen on, or to others of their groups."""
    what, remedy = f"the threshold for {frozen.rule} ({frozen.chosen_on})", CHOOSE_ELSEWHERE
    if not frozen.rows and rows_hash(rows.image_id) == frozen.rows_sha256:
        raise ValueError(f"{what}: chosen on these same images, which is optimistic: {remedy}")
    refuse_overlap(rows, frozen.rows, what, remedy)
