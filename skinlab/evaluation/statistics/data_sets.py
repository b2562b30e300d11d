"""Systems on different images, such as one system at home and elsewhere: unpaired differences of their metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.population_form import DifferentImages, UnpairedComparison
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.registry import direction, find_metric, metric_in_sentence
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.p_values import holm
from skinlab.evaluation.statistics.trainings import Trainings
from skinlab.evaluation.statistics.unpaired import unpaired_difference

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife


def compare_data_sets(
    systems: Sequence[tuple[str, Sequence[Predictions]]],
    metrics: Sequence[str],
    *,
    level: float,
    seed: int,
    reference: str | None = None,
) -> DifferentImages:
    """Compare every pair of systems on different images, or each with a reference.

    All metrics are over the images of the classes that have ``MIN_GROUPS`` groups in every system: macro averages over
    different classes don't compare.

    Args:
        systems: name, and tables of the same rows (its trainings) of each; no two systems share a row.
        metrics: names of the metrics to compare by.
        level: of the intervals; 1 - level is the error rate of the sentences, after Holm's correction over all.
        seed: of the bootstrap samples.
        reference: the system that all others are compared with, every pair by default.
    """
    shared = np.flatnonzero(np.min([_groups_per_class(tables[0]) for _, tables in systems], axis=0) >= MIN_GROUPS)
    classes = [systems[0][1][0].classes[i] for i in shared]
    if len(classes) < 2:
        return {"classes": classes, "metrics": {}, "comparisons": []}
    samples = [(name, _samples(tables, shared, metrics, seed)) for name, tables in systems]
    found: list[UnpairedComparison] = []
    for i, (name_b, b) in enumerate(samples):
        for name_a, a in samples[i + 1 :]:
            if reference is not None and reference not in (name_a, name_b):
                continue
            for metric in metrics:
                interval, p = unpaired_difference(a, b, metric, level)
                entry = find_metric(metric)
                found.append(
                    {
                        "a": name_a,
                        "b": name_b,
                        "metric": metric,
                        "class_mix": entry is None or not entry.stratified,
                        "difference": interval.to_dict(),
                        "p": p,
                        "p_holm": p,
                        "sentence": "",
                    }
                )
    for row, corrected in zip(found, holm([np.nan if row["p"] is None else row["p"] for row in found]), strict=True):
        row["p_holm"] = corrected
        row["sentence"] = _sentence(row, 1 - level)
    return {
        "classes": classes,
        "metrics": {name: {key: each.interval(key, level).to_dict() for key in metrics} for name, each in samples},
        "comparisons": found,
    }


def _groups_per_class(rows: Predictions) -> npt.NDArray[np.int64]:
    return np.array([len(set(rows.group[rows.target == i].tolist())) for i in range(len(rows.classes))])


def _samples(
    tables: Sequence[Predictions], classes: npt.NDArray[np.int64], metrics: Sequence[str], seed: int
) -> BootstrapSamples:
    """Return the mean over the trainings on the rows of some classes; its intervals count the variance between them."""
    tables = [table.take(np.isin(table.target, classes)) for table in tables]
    first = tables[0]
    scorers = [Scorer(table.probabilities, table.target, table.classes, names=metrics) for table in tables]
    resampler = Resampler(first.group, first.target, first.classes)
    samples = [bootstrap(scorer, resampler, n_draws=DRAWS, seed=seed) for scorer in scorers]
    return Trainings(dict(enumerate(samples))).mean()


def _sentence(row: UnpairedComparison, alpha: float) -> str:
    a, b, metric, difference = row["a"], row["b"], metric_in_sentence(row["metric"]), row["difference"]
    value, low, high = (np.nan if (each := difference[end]) is None else each for end in ("value", "low", "high"))
    p = np.nan if row["p_holm"] is None else row["p_holm"]
    if not np.isfinite(p):
        reason = difference.get("note", "it has no value").removeprefix("no interval: ")
        return f"{a} and {b} can't be compared by {metric}: {reason}."
    bound = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    span = f"{value:+.3f} [{low:+.3f}, {high:+.3f}], unpaired, corrected {bound}".replace("-", "\N{MINUS SIGN}")
    mix = " It depends on the class mix, which two sets of images seldom share." if row["class_mix"] else ""
    if p > alpha:
        return f"No evidence that {metric} differs between the images of {a} and {b}: {span}.{mix}"
    higher, lower = (a, b) if value > 0 else (b, a)
    if direction(row["metric"]) == "min":
        return f"{lower} has a lower, better {metric} on its images than {higher} on its: {a} minus {b} is {span}.{mix}"
    return f"{higher} has a higher {metric} on its images than {lower} on its: {a} minus {b} is {span}.{mix}"
