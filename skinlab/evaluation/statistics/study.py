"""The results of a study: a label-efficiency table, paired differences of its arms, and a verdict per budget."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import N_DRAWS, Resampler, bootstrap
from skinlab.evaluation.statistics.estimates import LEVEL
from skinlab.evaluation.statistics.trainings import Trainings, metric_estimate
from skinlab.evaluation.statistics.verdicts import (
    NO_POOL,
    POOL,
    Cells,
    Controls,
    budget_verdict,
    differences_and_verdicts,
)


def bootstrap_trainings(
    tables: Mapping[Hashable, Predictions],
    metrics: Sequence[str],
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
    overlap: float = 0.0,
) -> Trainings:
    """Return the bootstrap samples of some metrics for each training's predictions, the same for all.

    Args:
        tables: key of the training → predictions of the test rows, in one order and grouping throughout the study.
        metrics: names; those that the tables don't have are passed over.
        n_draws: number of bootstrap samples.
        seed: of the bootstrap samples.
        overlap: see :class:`skinlab.evaluation.statistics.trainings.Trainings`.
    """
    first = next(iter(tables.values()))
    resampler = Resampler(first.group, first.target, first.classes)
    found = {
        key: bootstrap(
            Scorer(table.probabilities, table.target, table.classes, names=metrics),
            resampler,
            n_draws=n_draws,
            seed=seed,
        )
        for key, table in tables.items()
    }
    return Trainings(found, overlap)


def name_budget(budget: float, labelled: int) -> str:
    """Name a label budget.

    >>> name_budget(0.05, 313), name_budget(1, 6408), name_budget(300, 298)
    ('5 % of the labels (313 images)', 'All labels (6,408 images)', '298 labelled images')
    """
    if budget > 1:
        return f"{labelled:,} labelled images"
    share = name_share(budget)
    return f"{share[0].upper()}{share[1:]} ({labelled:,} images)"


def name_share(budget: float) -> str:
    """Name a label budget without the number of its images, where it is a share.

    >>> name_share(0.05), name_share(1), name_share(300)
    ('5 % of the labels', 'all labels', '300 labels')
    """
    return "all labels" if budget == 1 else f"{budget:,g} labels" if budget > 1 else f"{100 * budget:g} % of the labels"


def study_evidence(
    cells: Cells,
    labelled: Mapping[float, int],
    *,
    controls: Mapping[str, Controls],
    metrics: Sequence[str],
    judge_by: str,
    with_pool: Collection[float],
    level: float = LEVEL,
) -> dict[str, Any]:
    """Return the table of label efficiency, the differences and the verdicts, as plain values.

    Args:
        cells: the trainings.
        labelled: budget → labelled images, on average over the trainings.
        controls: arm → what it is compared with.
        metrics: names of the metrics; those that the tables don't have are left out.
        judge_by: the metric of the verdict.
        with_pool: the budgets that leave images for a pool.
        level: of the intervals.
    """
    first = next(iter(next(iter(next(iter(cells.values())).values())).samples.values()))
    metrics = [name for name in metrics if name in first.estimate]
    found, of_arms = differences_and_verdicts(cells, controls, metrics, judge_by, with_pool, level)
    budgets, verdicts = [], []
    for budget in sorted(cells, key=lambda each: labelled[each]):
        budget_name = name_budget(budget, labelled[budget])
        arms = [_arm(name, trainings, metrics, level) for name, trainings in cells[budget].items()]
        seed_sd = {metric: pooled_sd([each.values(metric) for each in cells[budget].values()]) for metric in metrics}
        row = {"budget": budget, "name": budget_name, "labelled": labelled[budget], "seed_sd": seed_sd, "arms": arms}
        budgets.append(row)
        subject = POOL if budget in with_pool else NO_POOL
        verdict = budget_verdict([each for each in of_arms if each.budget == budget], budget_name, judge_by, subject)
        if verdict:
            verdicts.append({"budget": budget, "pool": budget in with_pool} | verdict)
    return {"budgets": budgets, "differences": [each.to_dict() for each in found], "verdicts": verdicts}


def pooled_sd(values: Sequence[Sequence[float]]) -> float:
    """Return the standard deviation between trainings within arms, pooled; NaN without an arm of two.

    >>> round(pooled_sd([[0.1, 0.3], [0.5, 0.5], [0.2]]), 3)
    0.1
    """
    squares = sum(float(((np.array(each) - np.mean(each)) ** 2).sum()) for each in values)
    degrees_of_freedom = sum(len(each) - 1 for each in values)
    return float((squares / degrees_of_freedom) ** 0.5) if degrees_of_freedom else float("nan")


def _arm(name: str, trainings: Trainings, metrics: Sequence[str], level: float) -> dict[str, Any]:
    values = {metric: trainings.values(metric) for metric in metrics}
    return {
        "name": name,
        "trainings": len(trainings),
        "metrics": {metric: metric_estimate(trainings, metric, level).to_dict() for metric in metrics},
        "spread": {
            metric: {"sd": float(np.std(each, ddof=1)) if len(each) > 1 else float("nan"), "values": each}
            for metric, each in values.items()
        },
    }
