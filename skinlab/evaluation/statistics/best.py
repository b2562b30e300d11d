"""Which of several systems may be the best one: a confidence set, whatever their number.

The highest of many values is too high by chance, so that tests of all others against that system find too much, and
tests of all pairs, corrected for their number, find too little. Here each system is tested by itself: is another one
better? The systems for which this is not shown are a confidence set of the truly best one (Hsu, 1984, "Constrained
simultaneous confidence intervals for multiple comparisons with the best"). The statistic is the largest difference of
another system in standard errors; its distribution, if no other were better, is that of the bootstrap samples, which
keep how alike the systems are (Mogstad, Romano, Shaikh and Wilhelm, 2024, "Inference for ranks with applications to
mobility across neighbourhoods and academic achievement across countries").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.comparison_form import BestSystems
from skinlab.evaluation.metrics.operating_points import operating_point
from skinlab.evaluation.metrics.registry import direction, metric_in_sentence
from skinlab.evaluation.statistics.estimates import LEVEL
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.trainings import Trainings

Floats = npt.NDArray[np.float64]

FEWEST = 3  # systems; the comparison of two says the same
MOST_NAMED = 3  # systems in a sentence
SINGLE = Variance(0.0, np.inf)  # of one training, which counts as if it were the recipe


def best_systems(
    systems: Sequence[tuple[str, Trainings]],
    metrics: Sequence[str],
    level: float = LEVEL,
    points: Mapping[str, str] | None = None,
) -> list[BestSystems]:
    """Return which systems may be the best one by each metric; metrics without intervals or a direction are left out.

    Args:
        systems: name and trainings of each, their bootstrap samples made with one resampler and seed.
        metrics: names.
        level: probability with which the truly best system is among those of a metric.
        points: metric → its operating point, where it is that of a rule.
    """
    if len(systems) < FEWEST:
        return []
    means, found = [trainings.mean() for _, trainings in systems], list[BestSystems]()
    for metric in dict.fromkeys(metrics):
        better = direction(metric)
        if better is None or any(metric not in each.estimate or each.no_interval(metric) for each in means):
            continue
        sign = -1 if better == "min" else 1
        values = np.array([sign * each.estimate[metric] for each in means])
        draws = np.array([sign * each.values[metric] for each in means])
        p = probabilities(values, draws, [each.trainings.get(metric, SINGLE) for each in means])
        order = [int(i) for i in np.argsort(-values, kind="stable")]
        point = (points or {}).get(metric, "")
        few = min(len(trainings) for _, trainings in systems) < 2
        among = [systems[i][0] for i in order if p[i] > 1 - level]
        found.append(
            {
                "metric": metric,
                "operating_point": point or operating_point(metric),
                "highest": systems[order[0]][0],
                "systems": among,
                "p": {systems[i][0]: float(p[i]) for i in order},
                "sentence": _sentence(metric, point, len(systems), among, level, of_weights=few),
            }
        )
    return found


def probabilities(values: Floats, draws: Floats, trainings: Sequence[Variance], seed: int = 0) -> Floats:
    """Return for each system the p of the hypothesis that no other one is better.

    Args:
        values: ``(S,)`` of a metric of which more is better.
        draws: ``(S, B)`` on the bootstrap samples that the systems share; samples where one has none are left out.
        trainings: variance of each value between trainings, independent of each other.
        seed: of the simulated trainings.
    """
    draws = draws[:, np.isfinite(draws).all(0)]
    n, rng = draws.shape[1], np.random.default_rng(seed)
    between = np.array([each.value for each in trainings])
    freedom = np.array([min(each.degrees_of_freedom, 1e9) for each in trainings])
    noise = draws - draws.mean(1, keepdims=True)
    covariance = noise @ noise.T / max(n - 1, 1)
    noise += np.sqrt(between)[:, None] * rng.standard_t(freedom[:, None], (len(values), n))
    p = np.ones(len(values))
    for i in range(len(values)):
        variance = np.diag(covariance) + covariance[i, i] - 2 * covariance[i] + between + between[i]
        others = np.flatnonzero((variance > 1e-12) & (np.arange(len(values)) != i))  # how much is unknown of the equal
        if len(others):
            errors = np.sqrt(variance[others])
            largest = ((values[others] - values[i]) / errors).max()
            by_chance = ((noise[others] - noise[i]) / errors[:, None]).max(0)
            p[i] = (1 + (by_chance >= largest).sum()) / (1 + n)
    return p


def _sentence(metric: str, point: str, n: int, among: Sequence[str], level: float, *, of_weights: bool) -> str:
    """Say which systems may be the best one."""
    where, sure = metric_in_sentence(metric, point=point or True), f"{100 * level:.4g} % confidence"
    claim = ", of these weights, not of the recipes" if of_weights else ""
    if len(among) == 1:
        return f"The best of the {n} systems by {where} is {among[0]} ({sure}{claim})."
    if len(among) == n:
        return f"Each of the {n} systems may be the best one by {where} ({sure}{claim})."
    named = ", ".join(among[:MOST_NAMED])
    more = f" and {len(among) - MOST_NAMED} more" if len(among) > MOST_NAMED else ""
    return f"{len(among)} of the {n} systems may be the best one by {where} ({sure}{claim}): {named}{more}."
