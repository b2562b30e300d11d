"""Thresholds in files: chosen on some rows for some classes, applied to other rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.thresholds.choice import MIX_RULES, choose_threshold, threshold_interval

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FrozenThreshold:
    """A threshold as it is written to a file, with where it comes from.

    Attributes:
        rule: how it was chosen.
        threshold: a row is predicted positive at ``score >= threshold``.
        low: lower end of the threshold's interval.
        high: upper end.
        positives: number of positives it was chosen on.
        chosen_on: those rows in words, such as ``val, 1603 rows``.
        rows_sha256: hash of their sorted image ids.
        positive: the classes whose summed probability is the score.
        cost_ratio: what a missed positive costs in false positives, for the rule ``cost``.
        prevalence: share of positives that the threshold is for, where its rule depends on it; None: that of the rows
            it was chosen on.
    """

    rule: str
    threshold: float
    low: float
    high: float
    positives: int
    chosen_on: str
    rows_sha256: str
    positive: list[str]
    cost_ratio: float = 1.0
    prevalence: float | None = None

    def __call__(self, score: Floats) -> Bools:
        """Return which rows are predicted positive, ``(N,)``."""
        return np.asarray(score >= self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` described; ValueError where a value is missing."""
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in values and name != "prevalence"]  # older files have none
        if missing:
            raise ValueError(f"a frozen threshold lacks {', '.join(missing)}: freeze it again")
        return cls(**{name: values[name] for name in names if name in values})


def freeze(
    score: Floats,
    truth: Bools,
    groups: npt.NDArray[Any],
    image_ids: Iterable[str],
    rule: str,
    chosen_on: str,
    positive: Sequence[str],
    n_draws: int = 500,
    seed: int = 0,
    cost_ratio: float = 1.0,
    level: float = 0.95,
    prevalence: float | None = None,
) -> FrozenThreshold:
    """Choose a threshold with its interval and bind it to the rows it was chosen on, and to its positive classes."""
    prevalence = prevalence if rule in MIX_RULES else None
    threshold = choose_threshold(score, truth, rule, cost_ratio, prevalence=prevalence)
    low, high = threshold_interval(score, truth, groups, rule, n_draws, seed, cost_ratio, level, prevalence)
    return FrozenThreshold(
        rule,
        threshold,
        low,
        high,
        positives=int(truth.sum()),
        chosen_on=chosen_on,
        rows_sha256=rows_hash(image_ids),
        positive=list(positive),
        cost_ratio=cost_ratio,
        prevalence=prevalence,
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


def refuse_same_rows(frozen: FrozenThreshold, image_ids: Iterable[str]) -> None:
    """Raise ValueError where a threshold is to be applied to the very rows it was chosen on."""
    if rows_hash(image_ids) == frozen.rows_sha256:
        raise ValueError(
            f"the threshold for {frozen.rule} was chosen on these same rows ({frozen.chosen_on}), which is optimistic:"
            " choose it on validation rows, or set cross_fit=true"
        )
