"""Arms of a study held against each other: a label-efficiency table, paired differences, and a verdict a budget.

Rows and trainings are both drawn from something larger: another test set would have other lesions, another seed other
weights (and other labels within the budget). A difference therefore has two variances,

    Var = Var_rows + s² / k,

the first from a bootstrap of the groups with the k trainings held fixed, the second from the differences of the k
pairs of trainings themselves. The interval is Student's t with Satterthwaite's (1946) degrees of freedom. To redraw
three seeds with replacement instead would lose a third of their variance and leave the normal's short tails. What rows
and trainings do together is counted on both sides, so that the interval errs on the wide side.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from skinlab.evaluation.bootstrap import LEVEL, N_DRAWS, Draws, Resampler, bootstrap
from skinlab.evaluation.comparison import POWER, holm
from skinlab.evaluation.metric_registry import bounds, direction, metric_in_sentence
from skinlab.evaluation.metrics import Scorer
from skinlab.evaluation.predictions import Predictions

Floats = npt.NDArray[np.float64]
HELPS, NONE, HURTS = "helps", "no evidence", "hurts"
POOL, NO_POOL = "the pool", "pretraining (nothing is left for a pool)"
# Trainings of one arm at one budget, each by its key (fold and seed), with the draws of its figures.
Trainings = Mapping[Hashable, Draws]


@dataclass(frozen=True)
class Estimate:
    """A figure or a difference, with the interval that counts rows and trainings.

    Attributes:
        value: mean over the trainings.
        low: lower end.
        high: upper end.
        error: standard error.
        freedom: degrees of freedom.
        trainings_share: share of the variance that comes from the trainings; NaN with a single one.
        p: two-sided, of no difference.
        n: trainings.
    """

    value: float
    low: float
    high: float
    error: float
    freedom: float
    trainings_share: float
    p: float
    n: int

    def detectable(self, level: float = LEVEL, power: float = POWER) -> float:
        """Return the smallest true difference that would mostly have been seen."""
        return float(student.ppf([(1 + level) / 2, power], self.freedom).sum() * self.error)


@dataclass(frozen=True)
class Difference:
    """How much a figure of arm ``a`` exceeds that of arm ``b`` at one budget; ``decides`` marks the verdict's own."""

    budget: float
    a: str
    b: str
    figure: str
    decides: bool
    estimate: Estimate
    p_holm: float
    verdict: str

    def to_dict(self, level: float) -> dict[str, Any]:
        """Return plain values, with the detectable difference."""
        rest = {name: getattr(self, name) for name in ("budget", "a", "b", "figure", "decides", "p_holm", "verdict")}
        return rest | {"difference": asdict(self.estimate), "detectable": self.estimate.detectable(level)}


def combine(draws: Floats, per_training: Floats, level: float = LEVEL) -> Estimate:
    """Put the two variances together.

    Args:
        draws: ``(B,)`` of the mean over the trainings, on redrawn rows.
        per_training: ``(k,)`` on the rows themselves.
        level: of the interval.

    >>> found = combine(np.array([-0.1, 0.1]), np.array([0.5, 0.6, 0.7]))
    >>> round(found.value, 3), round(found.error**2, 4), round(found.trainings_share, 2)
    (0.6, 0.0233, 0.14)
    """
    k, value = len(per_training), float(per_training.mean())
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or len(known) < 2:
        return Estimate(value, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, k)
    rows = float(known.var(ddof=1))
    trainings = float(per_training.var(ddof=1)) / k if k > 1 else 0.0
    total = rows + trainings
    freedom = (k - 1) * (total / trainings) ** 2 if trainings > 0 else np.inf
    error = total**0.5
    reach = float(student.ppf((1 + level) / 2, freedom)) * error
    p = float(2 * student.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    share = trainings / total if k > 1 and total > 0 else np.nan
    return Estimate(value, value - reach, value + reach, error, float(freedom), share, p, k)


def training_draws(
    tables: Mapping[Hashable, Predictions], figures: Sequence[str], *, n_draws: int = N_DRAWS, seed: int = 0
) -> dict[Hashable, Draws]:
    """Return the draws of some figures for each training's predictions, all on the same redrawn rows.

    Args:
        tables: key of the training → predictions of the test rows, in one order and grouping throughout the study.
        figures: names; those that the tables don't have are passed over.
        n_draws: number of draws.
        seed: of the draws.
    """
    found: dict[Hashable, Draws] = {}
    first = next(iter(tables.values()))
    resampler = Resampler(first.group, first.target)
    for key, table in tables.items():
        scorer = Scorer(table.probabilities, table.target, table.classes, names=figures)
        found[key] = bootstrap(scorer, resampler, n_draws=n_draws, seed=seed)
    return found


def figure_estimate(arm: Trainings, figure: str, level: float = LEVEL) -> Estimate:
    """Return a figure of one arm, its mean over the trainings; few trainings never widen it beyond what can be."""
    draws = np.mean([each.values[figure] for each in arm.values()], axis=0)
    found = combine(draws, np.array([each.estimate[figure] for each in arm.values()]), level)
    least, most = bounds(figure)
    return replace(found, low=float(np.maximum(found.low, least)), high=float(np.minimum(found.high, most)))


def difference_estimate(a: Trainings, b: Trainings, figure: str, level: float = LEVEL) -> Estimate:
    """Return a minus b over the trainings that both have, paired by key and by redrawn rows.

    Raises:
        ValueError: they have no training in common, or other bootstrap samples.
    """
    shared = [key for key in a if key in b]
    if not shared:
        raise ValueError("the two arms have no fold and seed in common")
    paired = [a[key].minus(b[key]) for key in shared]
    draws = np.mean([each.values[figure] for each in paired], axis=0)
    return combine(draws, np.array([each.estimate[figure] for each in paired]), level)


def differences(
    cells: Mapping[float, Mapping[str, Trainings]],
    against: Mapping[str, Sequence[str]],
    deciding: Sequence[str],
    figures: Sequence[str],
    judge_by: str,
    level: float = LEVEL,
) -> list[Difference]:
    """Hold every arm against those that it is to be held against, at every budget.

    Holm's correction has two families. The first is the question of the study: each deciding arm against the first of
    its rivals that is there, by the figure of the verdict, at all budgets. The second is everything else.

    Args:
        cells: budget → arm → its trainings.
        against: arm → rivals, the one that a verdict is about first.
        deciding: the arms that the verdict is about.
        figures: names of the figures.
        judge_by: the figure of the verdict.
        level: 1 - level is the error rate.
    """
    rows = []
    for budget, arms in cells.items():
        for a in arms:
            rivals = [b for b in against.get(a, ()) if b in arms and b != a]
            for b in rivals:
                for figure in figures:
                    decides = a in deciding and b == rivals[0] and figure == judge_by
                    estimate = difference_estimate(arms[a], arms[b], figure, level)
                    rows.append((budget, a, b, figure, decides, estimate))
    adjusted = np.full(len(rows), np.nan)
    for family in (True, False):
        members = [i for i, row in enumerate(rows) if row[4] is family]
        adjusted[members] = holm([rows[i][5].p for i in members])
    return [
        Difference(*row, float(p), _verdict(row[5], float(p), row[3], level))
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _verdict(estimate: Estimate, p_holm: float, figure: str, level: float) -> str:
    if estimate.n < 2 or not p_holm <= 1 - level:
        return NONE
    return HELPS if (estimate.value > 0) != (direction(figure) == "min") else HURTS


def budget_verdict(
    found: Sequence[Difference], words: str, level: float = LEVEL, subject: str = POOL
) -> dict[str, Any] | None:
    """Say in a sentence whether the pool helps at one budget; None without a deciding difference.

    It helps if one of the arms that use it does; it hurts if one does and none helps.

    Args:
        found: the differences at one budget.
        words: what the budget is called, such as ``5 % of the labels (313 images)``.
        level: 1 - level is the error rate.
        subject: what helps, where there is no pool at this budget.
    """
    deciding = [each for each in found if each.decides]
    if not deciding:
        return None
    verdicts = {each.verdict for each in deciding}
    verdict = HELPS if HELPS in verdicts else HURTS if HURTS in verdicts else NONE
    told = {name: f"{subject} {name}" for name in (HELPS, HURTS)} | {NONE: f"no evidence that {subject} helps or hurts"}
    ordered = sorted(deciding, key=lambda each: (each.verdict != verdict, each.a))
    figure = metric_in_sentence(deciding[0].figure)
    parts = "; ".join(_told(each) for each in ordered)
    least = max(each.estimate.detectable(level) for each in deciding)
    seen = f" Differences under {least:.3f} would mostly have stayed unseen." if np.isfinite(least) else ""
    if min(each.estimate.n for each in deciding) < 2:
        seen = " One training an arm can't tell an arm from its luck: give several seeds."
    return {"verdict": verdict, "sentence": f"{words}: {told[verdict]}, by {figure}: {parts}.{seen}"}


def _told(each: Difference) -> str:
    found = each.estimate
    span = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}], corrected p = {each.p_holm:.2g}"
    return f"{each.a} minus {each.b} is {span} ({each.verdict})".replace("-", "\N{MINUS SIGN}")


def budget_words(budget: float, labelled: int) -> str:
    """Name a label budget.

    >>> budget_words(0.05, 313), budget_words(1, 6408), budget_words(300, 298)
    ('5 % of the labels (313 images)', 'All labels (6,408 images)', '298 labelled images')
    """
    if budget > 1:
        return f"{labelled:,} labelled images"
    share = "All labels" if budget == 1 else f"{100 * budget:g} % of the labels"
    return f"{share} ({labelled:,} images)"


def study_evidence(
    cells: Mapping[float, Mapping[str, Trainings]],
    labelled: Mapping[float, int],
    *,
    against: Mapping[str, Sequence[str]],
    deciding: Sequence[str],
    figures: Sequence[str],
    judge_by: str,
    with_pool: Collection[float],
    level: float = LEVEL,
) -> dict[str, Any]:
    """Return the table of label efficiency, the differences and the verdicts, as plain values.

    Args:
        cells: budget → arm → its trainings.
        labelled: budget → labelled images, on average over the trainings.
        against: see :func:`differences`.
        deciding: see :func:`differences`.
        figures: names of the figures; those that the tables don't have are left out.
        judge_by: the figure of the verdict.
        with_pool: the budgets that leave images for a pool.
        level: of the intervals.
    """
    first = next(iter(next(iter(next(iter(cells.values())).values())).values()))
    figures = [name for name in figures if name in first.estimate]
    found = differences(cells, against, deciding, figures, judge_by, level)
    budgets, verdicts = [], []
    for budget in sorted(cells, key=lambda each: labelled[each]):
        words = budget_words(budget, labelled[budget])
        arms = [_arm(name, trainings, figures, level) for name, trainings in cells[budget].items()]
        budgets.append({"budget": budget, "words": words, "labelled": labelled[budget], "arms": arms})
        subject = POOL if budget in with_pool else NO_POOL
        verdict = budget_verdict([each for each in found if each.budget == budget], words, level, subject)
        if verdict:
            verdicts.append({"budget": budget, "pool": budget in with_pool} | verdict)
    return {"budgets": budgets, "differences": [each.to_dict(level) for each in found], "verdicts": verdicts}


def _arm(name: str, trainings: Trainings, figures: Sequence[str], level: float) -> dict[str, Any]:
    values = {figure: [each.estimate[figure] for each in trainings.values()] for figure in figures}
    return {
        "name": name,
        "trainings": len(trainings),
        "figures": {figure: asdict(figure_estimate(trainings, figure, level)) for figure in figures},
        "spread": {
            figure: {"sd": float(np.std(each, ddof=1)) if len(each) > 1 else float("nan"), "values": each}
            for figure, each in values.items()
        },
    }
