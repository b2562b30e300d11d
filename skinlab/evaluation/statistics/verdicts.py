"""The verdict of a study: does an arm that uses the pool beat every one of its controls?

The pool helps if an arm that uses it beats the same recipe without the pool, the supervised arm of the same compute,
and the usual supervised arm (intersection-union test, Berger, 1982): a gain over one of them alone may come from
pretraining as such, or from a longer training. Each difference counts the images and the trainings
(:mod:`skinlab.evaluation.statistics.estimates`), and Holm's correction counts the verdicts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skinlab.evaluation.metrics.registry import bounds, direction, metric_in_sentence
from skinlab.evaluation.statistics.estimates import LEVEL, Estimate
from skinlab.evaluation.statistics.p_values import holm, intersection_union, p_in_words
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate

HELPS, NONE, HURTS, NO_VERDICT = "helps", "no evidence", "hurts", "no verdict"
POOL, NO_POOL = "the pool", "pretraining (nothing is left for a pool)"
Cells = Mapping[float, Mapping[str, Trainings]]  # budget → arm → its trainings


@dataclass(frozen=True)
class Controls:
    """What an arm that uses the pool has to beat, so that the pool can be said to help.

    Attributes:
        without_pool: the same recipe without the pool; None where there is none.
        others: further controls, such as the supervised arm of the same compute.
        compared: arms that it is compared with, too, without a part in the verdict.
    """

    without_pool: str | None = None
    others: Sequence[str] = ()
    compared: Sequence[str] = ()

    def at(self, *, has_pool: bool) -> list[str]:
        """Return the controls at a budget.

        Where no image is left for a pool, the recipe without it is the same recipe, and only the others are controls.

        >>> Controls("C", ["A+", "A"]).at(has_pool=True), Controls("C", ["A+", "A"]).at(has_pool=False)
        (['C', 'A+', 'A'], ['A+', 'A'])
        """
        first = [self.without_pool] if self.without_pool and has_pool else []
        return list(dict.fromkeys([*first, *self.others]))


@dataclass(frozen=True)
class Difference:
    """How much a metric of arm ``a`` exceeds that of arm ``b`` at one budget; ``decides`` marks those of a verdict."""

    budget: float
    a: str
    b: str
    metric: str
    decides: bool
    estimate: Estimate
    p_holm: float
    level: float = LEVEL

    @property
    def gain(self) -> float:
        """The difference, positive where ``a`` is better."""
        return -self.estimate.value if direction(self.metric) == "min" else self.estimate.value

    @property
    def finding(self) -> str:
        """Whether ``a`` is better or worse, after the correction."""
        if self.estimate.n < 2 or not self.p_holm <= 1 - self.level:
            return NONE
        return "better" if self.gain > 0 else "worse"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by their names in ``study.json``, with the detectable difference."""
        names = ("budget", "a", "b", "metric", "decides", "p_holm", "finding")
        values = {name: getattr(self, name) for name in names}
        return values | {"difference": self.estimate.to_dict(), "detectable": self.estimate.detectable(self.level)}


@dataclass(frozen=True)
class ArmVerdict:
    """Whether an arm that uses the pool beats all of its controls at one budget.

    Attributes:
        budget: label budget.
        arm: that uses the pool.
        missing: controls that were not trained at this budget; with any of them missing there is no verdict.
        differences: from each control.
        p: of the intersection-union test.
        p_holm: the same after Holm's correction over all verdicts of the study.
        level: 1 - level is the error rate of all verdicts together.
        n_verdicts: that Holm's correction counts.
    """

    budget: float
    arm: str
    missing: tuple[str, ...]
    differences: tuple[Difference, ...]
    p: float = float("nan")
    p_holm: float = float("nan")
    level: float = LEVEL
    n_verdicts: int = 1

    @property
    def decidable(self) -> bool:
        """Whether every control was trained, and every arm more than once."""
        return not self.missing and min((each.estimate.n for each in self.differences), default=0) > 1

    @property
    def verdict(self) -> str:
        """What is concluded."""
        if not self.decidable:
            return NO_VERDICT
        if not self.p_holm <= 1 - self.level:
            return NONE
        return HELPS if self.differences[0].gain > 0 else HURTS

    @property
    def detectable(self) -> float:
        """The smallest true gain over every control that has 80 % power at the corrected level."""
        level, n = 1 - (1 - self.level) / self.n_verdicts, len(self.differences)
        return float(np.max([each.estimate.detectable(level, n) for each in self.differences] or [np.nan]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by their names in ``study.json``."""
        return {
            "arm": self.arm,
            "controls": [each.b for each in self.differences],
            "missing": list(self.missing),
            "p": self.p,
            "p_holm": self.p_holm,
            "p_floor": max((each.estimate.p_floor for each in self.differences), default=float("nan")),
            "detectable": self.detectable if self.decidable else float("nan"),
            "verdict": self.verdict,
        }

    def sentence(self) -> str:
        """Return the verdict on this arm with its differences."""
        spans = [f"minus {each.b} {each.estimate.in_words()}" for each in self.differences]
        found = ", ".join(spans)
        if self.missing:
            lacks = (
                f"no verdict, since {' and '.join(self.missing)} {'is' if len(self.missing) == 1 else 'are'} missing"
            )
            return f"{self.arm}: {lacks}" + (f" ({found})" if found else "")
        if not self.decidable:
            return f"{self.arm}: no verdict with one training per arm ({found})"
        at_floor = self.p <= max(each.estimate.p_floor for each in self.differences)
        p = f"corrected p {p_in_words(self.p_holm, at_floor)}"
        return f"{self.arm}: {self.verdict} ({found}; {p}{' for all together' if len(spans) > 1 else ''})"


def differences_and_verdicts(
    cells: Cells,
    controls: Mapping[str, Controls],
    metrics: Sequence[str],
    judge_by: str,
    with_pool: Collection[float],
    level: float = LEVEL,
) -> tuple[list[Difference], list[ArmVerdict]]:
    """Compare every arm with its controls and further arms, at every budget, and judge those that use the pool.

    Holm's correction has two families: the verdicts, and every difference without a part in one. The corrected p of a
    difference that has a part is what the verdict's would be if that were its only control.

    Args:
        cells: the trainings.
        controls: arm → what it is compared with.
        metrics: names of the metrics.
        judge_by: the metric of the verdict.
        with_pool: budgets that leave images for a pool.
        level: 1 - level is the error rate.
    """
    rows = list(_rows(cells, controls, metrics, judge_by, with_pool, level))
    judged = []
    for budget, arms in cells.items():
        for arm in [each for each in arms if each in controls and controls[each].others]:
            wanted = controls[arm].at(has_pool=budget in with_pool)
            own = [i for i, row in enumerate(rows) if row[:2] == (budget, arm) and row[4]]
            judged.append((budget, arm, tuple(each for each in wanted if each not in arms), own))
    p = [
        np.nan
        if missing or not own
        else intersection_union([rows[i][5].p for i in own], [rows[i][5].value for i in own])
        for _, _, missing, own in judged
    ]
    p_holm = np.full(len(rows), np.nan)
    others = [i for i, row in enumerate(rows) if not row[4]]
    p_holm[others] = holm([rows[i][5].p for i in others])
    for j, (_, _, _, own) in enumerate(judged):
        for i in own:
            p_holm[i] = holm([*p[:j], rows[i][5].p, *p[j + 1 :]])[j]
    found = [Difference(*row, float(adjusted), level) for row, adjusted in zip(rows, p_holm, strict=True)]
    n = max(int(np.isfinite(p).sum()), 1)
    verdicts = [
        ArmVerdict(budget, arm, missing, tuple(found[i] for i in own), p[j], adjusted, level, n)
        for j, ((budget, arm, missing, own), adjusted) in enumerate(zip(judged, holm(p), strict=True))
    ]
    return found, verdicts


def _rows(
    cells: Cells,
    controls: Mapping[str, Controls],
    metrics: Sequence[str],
    judge_by: str,
    with_pool: Collection[float],
    level: float,
) -> Iterator[tuple[float, str, str, str, bool, Estimate]]:
    for budget, arms in cells.items():
        for a in [each for each in arms if each in controls]:
            own = controls[a]
            wanted = own.at(has_pool=budget in with_pool) if own.others else []
            for b in [b for b in dict.fromkeys([*wanted, *own.compared]) if b in arms and b != a]:
                for metric in metrics:
                    decides = b in wanted and metric == judge_by
                    yield budget, a, b, metric, decides, difference_estimate(arms[a], arms[b], metric, level)


def budget_verdict(
    found: Sequence[ArmVerdict], budget_name: str, metric: str, subject: str = POOL
) -> dict[str, Any] | None:
    """Say in a sentence whether the pool helps at one budget; None without an arm that uses it.

    It helps if one of the arms that use it does; it hurts if one does and none helps.

    Args:
        found: the verdicts on the arms at one budget.
        budget_name: such as ``5 % of the labels (313 images)``.
        metric: of the verdict.
        subject: what helps, where there is no pool at this budget.
    """
    if not found:
        return None
    verdicts = {each.verdict for each in found}
    verdict = next(each for each in (HELPS, HURTS, NONE, NO_VERDICT) if each in verdicts)
    results = {
        HELPS: f"{subject} helps",
        HURTS: f"{subject} hurts",
        NONE: f"no evidence that {subject} helps or hurts",
        NO_VERDICT: f"no verdict on {subject}",
    }
    ordered = sorted(found, key=lambda each: (each.verdict != verdict, each.arm))
    parts = "; ".join(each.sentence() for each in ordered)
    detectable = max((each.detectable for each in found if each.decidable), default=float("nan"))
    note = f" {gain_sentence(detectable, metric)}" if np.isfinite(detectable) else ""
    if any(not each.decidable and not each.missing for each in found):
        note = " With one training per arm the variation between trainings is unknown: give several seeds."
    return {
        "verdict": verdict,
        "arms": [each.to_dict() for each in found],
        "sentence": f"{budget_name}: {results[verdict]}, by {metric_in_sentence(metric)}: {parts}.{note}",
    }


def gain_sentence(detectable: float, metric: str) -> str:
    """Say in plain words which gain a verdict would have found; a gain beyond the metric's range is none.

    >>> gain_sentence(0.13, "auroc_macro")
    'A true gain of 0.130 over every control would be found in four of five such studies, a smaller one less often.'
    >>> gain_sentence(1.3, "auroc_macro")
    'No gain is large enough to be found in four of five such studies: more seeds are needed.'
    """
    least, most = bounds(metric)
    if detectable > most - least:
        return "No gain is large enough to be found in four of five such studies: more seeds are needed."
    return (
        f"A true gain of {detectable:.3f} over every control would be found in four of five such studies, a smaller "
        "one less often."
    )
