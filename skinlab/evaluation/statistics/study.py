"""The results of a study: a label-efficiency table, paired differences of its arms, and a verdict per budget.

Rows and trainings are both samples: another test set would have other lesions, another seed other
weights (and other labels within the budget). A difference therefore has two variances,

    Var = Var_rows + s² / k,

the first from a bootstrap of the groups with the k trainings held fixed, the second from the differences of the k
pairs of trainings themselves. The interval is Student's t with Satterthwaite's (1946) degrees of freedom. Resampling
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

from skinlab.evaluation.metrics.registry import bounds, direction, metric_in_sentence
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import LEVEL, N_DRAWS, BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import POWER, holm

Floats = npt.NDArray[np.float64]
HELPS, NONE, HURTS = "helps", "no evidence", "hurts"
POOL, NO_POOL = "the pool", "pretraining (nothing is left for a pool)"
# Trainings of one arm at one budget, each by its key (fold and seed), with the bootstrap samples of its metrics.
Trainings = Mapping[Hashable, BootstrapSamples]


@dataclass(frozen=True)
class Estimate:
    """A metric or a difference, with the interval that counts rows and trainings.

    Attributes:
        value: mean over the trainings.
        low: lower end.
        high: upper end.
        standard_error: of the value.
        degrees_of_freedom: of Student's t.
        trainings_share: share of the variance that comes from the trainings; NaN with a single one.
        p: two-sided, of no difference.
        n: trainings.
    """

    value: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: float
    trainings_share: float
    p: float
    n: int

    def detectable(self, level: float = LEVEL, power: float = POWER) -> float:
        """Return the smallest true difference that is significant with the given power."""
        return float(student.ppf([(1 + level) / 2, power], self.degrees_of_freedom).sum() * self.standard_error)


@dataclass(frozen=True)
class Difference:
    """How much a metric of arm ``a`` exceeds that of arm ``b`` at one budget; ``decides`` marks the verdict's own."""

    budget: float
    a: str
    b: str
    metric: str
    decides: bool
    estimate: Estimate
    p_holm: float
    verdict: str

    def to_dict(self, level: float) -> dict[str, Any]:
        """Return plain values by their names in ``study.json``, with the detectable difference."""
        values = asdict(self)
        return values | {"difference": values.pop("estimate"), "detectable": self.estimate.detectable(level)}


def pool_variances(samples: Floats, per_training: Floats, level: float = LEVEL) -> Estimate:
    """Return the estimate whose variance is that between bootstrap samples plus that between trainings.

    Args:
        samples: ``(B,)`` of the mean over the trainings, on bootstrap samples of the rows.
        per_training: ``(k,)`` on the rows themselves.
        level: of the interval.

    >>> found = pool_variances(np.array([-0.1, 0.1]), np.array([0.5, 0.6, 0.7]))
    >>> round(found.value, 3), round(found.standard_error**2, 4), round(found.trainings_share, 2)
    (0.6, 0.0233, 0.14)
    """
    k, value = len(per_training), float(per_training.mean())
    known = samples[np.isfinite(samples)]
    if not np.isfinite(value) or len(known) < 2:
        return Estimate(value, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, k)
    rows = float(known.var(ddof=1))
    trainings = float(per_training.var(ddof=1)) / k if k > 1 else 0.0
    total = rows + trainings
    degrees_of_freedom = (k - 1) * (total / trainings) ** 2 if trainings > 0 else np.inf
    standard_error = total**0.5
    reach = float(student.ppf((1 + level) / 2, degrees_of_freedom)) * standard_error
    p = (
        float(2 * student.sf(abs(value) / standard_error, degrees_of_freedom))
        if standard_error > 0
        else float(value == 0)
    )
    share = trainings / total if k > 1 and total > 0 else np.nan
    return Estimate(value, value - reach, value + reach, standard_error, float(degrees_of_freedom), share, p, k)


def bootstrap_trainings(
    tables: Mapping[Hashable, Predictions], metrics: Sequence[str], *, n_draws: int = N_DRAWS, seed: int = 0
) -> dict[Hashable, BootstrapSamples]:
    """Return the bootstrap samples of some metrics for each training's predictions, the same for all.

    Args:
        tables: key of the training → predictions of the test rows, in one order and grouping throughout the study.
        metrics: names; those that the tables don't have are passed over.
        n_draws: number of bootstrap samples.
        seed: of the bootstrap samples.
    """
    found: dict[Hashable, BootstrapSamples] = {}
    first = next(iter(tables.values()))
    resampler = Resampler(first.group, first.target, first.classes)
    for key, table in tables.items():
        scorer = Scorer(table.probabilities, table.target, table.classes, names=metrics)
        found[key] = bootstrap(scorer, resampler, n_draws=n_draws, seed=seed)
    return found


def metric_estimate(arm: Trainings, metric: str, level: float = LEVEL) -> Estimate:
    """Return a metric of one arm, its mean over the trainings; the interval is clipped to the metric's bounds."""
    samples = np.mean([each.values[metric] for each in arm.values()], axis=0)
    found = pool_variances(samples, np.array([each.estimate[metric] for each in arm.values()]), level)
    least, most = bounds(metric)
    return replace(found, low=float(np.maximum(found.low, least)), high=float(np.minimum(found.high, most)))


def difference_estimate(a: Trainings, b: Trainings, metric: str, level: float = LEVEL) -> Estimate:
    """Return a minus b over the trainings that both have, paired by key and by bootstrap sample.

    Raises:
        ValueError: they have no training in common, or other bootstrap samples.
    """
    shared = [key for key in a if key in b]
    if not shared:
        raise ValueError("the two arms have no fold and seed in common")
    paired = [a[key].minus(b[key]) for key in shared]
    samples = np.mean([each.values[metric] for each in paired], axis=0)
    return pool_variances(samples, np.array([each.estimate[metric] for each in paired]), level)


def differences(
    cells: Mapping[float, Mapping[str, Trainings]],
    against: Mapping[str, Sequence[str]],
    deciding: Sequence[str],
    metrics: Sequence[str],
    judge_by: str,
    level: float = LEVEL,
) -> list[Difference]:
    """Compare every arm with its reference arms, at every budget.

    Holm's correction has two families. The first is the question of the study: each deciding arm against the first of
    its references that is there, by the metric of the verdict, at all budgets. The second is everything else.

    Args:
        cells: budget → arm → its trainings.
        against: arm → references, the one that a verdict is about first.
        deciding: the arms that the verdict is about.
        metrics: names of the metrics.
        judge_by: the metric of the verdict.
        level: 1 - level is the error rate.
    """
    rows = []
    for budget, arms in cells.items():
        for a in arms:
            references = [b for b in against.get(a, ()) if b in arms and b != a]
            for b in references:
                for metric in metrics:
                    decides = a in deciding and b == references[0] and metric == judge_by
                    estimate = difference_estimate(arms[a], arms[b], metric, level)
                    rows.append((budget, a, b, metric, decides, estimate))
    adjusted = np.full(len(rows), np.nan)
    for family in (True, False):
        members = [i for i, row in enumerate(rows) if row[4] is family]
        adjusted[members] = holm([rows[i][5].p for i in members])
    return [
        Difference(*row, float(p), _verdict(row[5], float(p), row[3], level))
        for row, p in zip(rows, adjusted, strict=True)
    ]


def _verdict(estimate: Estimate, p_holm: float, metric: str, level: float) -> str:
    if estimate.n < 2 or not p_holm <= 1 - level:
        return NONE
    return HELPS if (estimate.value > 0) != (direction(metric) == "min") else HURTS


def budget_verdict(
    found: Sequence[Difference], budget_name: str, level: float = LEVEL, subject: str = POOL
) -> dict[str, Any] | None:
    """Say in a sentence whether the pool helps at one budget; None without a deciding difference.

    It helps if one of the arms that use it does; it hurts if one does and none helps.

    Args:
        found: the differences at one budget.
        budget_name: such as ``5 % of the labels (313 images)``.
        level: 1 - level is the error rate.
        subject: what helps, where there is no pool at this budget.
    """
    deciding = [each for each in found if each.decides]
    if not deciding:
        return None
    verdicts = {each.verdict for each in deciding}
    verdict = HELPS if HELPS in verdicts else HURTS if HURTS in verdicts else NONE
    results = {name: f"{subject} {name}" for name in (HELPS, HURTS)} | {
        NONE: f"no evidence that {subject} helps or hurts"
    }
    ordered = sorted(deciding, key=lambda each: (each.verdict != verdict, each.a))
    metric = metric_in_sentence(deciding[0].metric)
    parts = "; ".join(_difference_sentence(each) for each in ordered)
    least = max(each.estimate.detectable(level) for each in deciding)
    note = f" Detectable difference (80 % power): {least:.3f}." if np.isfinite(least) else ""
    if min(each.estimate.n for each in deciding) < 2:
        note = " With one training per arm the variation between trainings is unknown: give several seeds."
    return {"verdict": verdict, "sentence": f"{budget_name}: {results[verdict]}, by {metric}: {parts}.{note}"}


def _difference_sentence(each: Difference) -> str:
    found = each.estimate
    span = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}], corrected p = {each.p_holm:.2g}"
    return f"{each.a} minus {each.b} is {span} ({each.verdict})".replace("-", "\N{MINUS SIGN}")


def name_budget(budget: float, labelled: int) -> str:
    """Name a label budget.

    >>> name_budget(0.05, 313), name_budget(1, 6408), name_budget(300, 298)
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
    metrics: Sequence[str],
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
        metrics: names of the metrics; those that the tables don't have are left out.
        judge_by: the metric of the verdict.
        with_pool: the budgets that leave images for a pool.
        level: of the intervals.
    """
    first = next(iter(next(iter(next(iter(cells.values())).values())).values()))
    metrics = [name for name in metrics if name in first.estimate]
    found = differences(cells, against, deciding, metrics, judge_by, level)
    budgets, verdicts = [], []
    for budget in sorted(cells, key=lambda each: labelled[each]):
        budget_name = name_budget(budget, labelled[budget])
        arms = [_arm(name, trainings, metrics, level) for name, trainings in cells[budget].items()]
        budgets.append({"budget": budget, "name": budget_name, "labelled": labelled[budget], "arms": arms})
        subject = POOL if budget in with_pool else NO_POOL
        verdict = budget_verdict([each for each in found if each.budget == budget], budget_name, level, subject)
        if verdict:
            verdicts.append({"budget": budget, "pool": budget in with_pool} | verdict)
    return {"budgets": budgets, "differences": [each.to_dict(level) for each in found], "verdicts": verdicts}


def _arm(name: str, trainings: Trainings, metrics: Sequence[str], level: float) -> dict[str, Any]:
    values = {metric: [each.estimate[metric] for each in trainings.values()] for metric in metrics}
    return {
        "name": name,
        "trainings": len(trainings),
        "metrics": {metric: asdict(metric_estimate(trainings, metric, level)) for metric in metrics},
        "spread": {
            metric: {"sd": float(np.std(each, ddof=1)) if len(each) > 1 else float("nan"), "values": each}
            for metric, each in values.items()
        },
    }
