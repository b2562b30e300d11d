"""Systems on different images, such as one system at home and elsewhere: unpaired differences of their metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.population_form import DifferentImages, UnpairedComparison
from skinlab.evaluation.evidence.rules import Decisions
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.operating_points import OF_POSITIVE, common_point, operating_point
from skinlab.evaluation.metrics.registry import direction, find_metric, metric_in_sentence
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import N_DRAWS, BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import Endpoint, hypothesis_of, pairs_of, role_of
from skinlab.evaluation.statistics.hypotheses import Hypothesis
from skinlab.evaluation.statistics.p_values import holm_by_family, p_in_words
from skinlab.evaluation.statistics.trainings import Trainings
from skinlab.evaluation.statistics.unpaired import unpaired_difference

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife
BESIDE = ("sensitivity", "specificity")  # of the positive, shown beside each other whatever systems are compared by


@dataclass(frozen=True)
class DataSet:
    """A system on its own images.

    Attributes:
        name: of the system.
        tables: of the same rows, one a training.
        decisions: those by its rules, of the same rows; metrics of other decisions are at p ≥ 0.5, or of the most
            probable class.
    """

    name: str
    tables: Sequence[Predictions]
    decisions: Sequence[Decisions] = ()


def compare_data_sets(
    systems: Sequence[DataSet],
    metrics: Sequence[str],
    *,
    level: float,
    seed: int,
    n_draws: int = N_DRAWS,
    reference: str | None = None,
    endpoint: Endpoint | None = None,
) -> DifferentImages:
    """Compare every pair of systems on different images, or each with a reference.

    All metrics are over the images of the classes that have ``MIN_GROUPS`` groups in every system: macro averages over
    different classes don't compare.

    Args:
        systems: no two share a row.
        metrics: names of the metrics to compare by.
        level: of the intervals; 1 - level is the error rate of the sentences, after Holm's correction over all, or
            over those by the endpoint and apart from them over the secondary ones.
        seed: of the bootstrap samples.
        n_draws: no p is below 2 / (n_draws + 1), as in paired comparisons.
        reference: the system that all others are compared with, every pair by default.
        endpoint: declared before.
    """
    shared = np.flatnonzero(np.min([_groups_per_class(each.tables[0]) for each in systems], axis=0) >= MIN_GROUPS)
    classes = [systems[0].tables[0].classes[i] for i in shared]
    if len(classes) < 2:
        return {"classes": classes, "metrics": {}, "operating_points": {}, "comparisons": []}
    metrics = list(dict.fromkeys([*([endpoint.metric] if endpoint else []), *metrics]))
    beside = list(dict.fromkeys([*metrics, *BESIDE]))
    samples = {each.name: _samples(each, shared, beside, seed) for each in systems}
    points = {each.name: _points(each, list(samples[each.name])) for each in systems}
    found = _compare(list(samples.items()), metrics, reference, endpoint, level=level, least_p=2 / (n_draws + 1))
    _describe(found, points, endpoint, level, merged=len(classes) > 2)
    return {
        "classes": classes,
        "metrics": {
            name: {metric: each.interval(metric, level).to_dict() for metric, each in of_system.items()}
            for name, of_system in samples.items()
        },
        "operating_points": points,
        "comparisons": found,
    }


def _compare(
    samples: Sequence[tuple[str, Mapping[str, BootstrapSamples]]],
    metrics: Sequence[str],
    reference: str | None,
    endpoint: Endpoint | None,
    *,
    level: float,
    least_p: float,
) -> list[UnpairedComparison]:
    """Return the comparison of every pair by every metric."""
    found, p_values = list[UnpairedComparison](), list[float]()
    for (name_a, a), (name_b, b) in pairs_of(samples, reference, endpoint):
        for metric in metrics:
            hypothesis, entry = hypothesis_of(metric, endpoint), find_metric(metric)
            interval, p = unpaired_difference(a[metric], b[metric], metric, level, hypothesis, least_p)
            p_values.append(p)
            found.append(
                {
                    "a": name_a,
                    "b": name_b,
                    "metric": metric,
                    "class_mix": entry is None or not entry.stratified,
                    "difference": interval.to_dict(),
                    "p": p,
                    "p_holm": p,
                    "p_floor": least_p,
                    "sentence": "",
                    "role": role_of(metric, endpoint),
                    "hypothesis": hypothesis.kind,
                    "margin": hypothesis.margin,
                }
            )
    for row, corrected in zip(found, holm_by_family(p_values, [row["role"] for row in found]), strict=True):
        hypothesis = hypothesis_of(row["metric"], endpoint)
        row["p_holm"], row["significant"] = corrected, corrected <= hypothesis.error_rate(level)
    return found


def _describe(
    found: Sequence[UnpairedComparison],
    points: Mapping[str, Mapping[str, str]],
    endpoint: Endpoint | None,
    level: float,
    *,
    merged: bool,
) -> None:
    """Add operating points and sentences; ``merged``: whether the positive or the others are of several classes."""
    for row in found:
        metric = row["metric"]
        row["operating_point"] = common_point(points[name][metric] for name in (row["a"], row["b"]))
        row["class_mix"] |= merged and metric in OF_POSITIVE
        row["sentence"] = _sentence(row, hypothesis_of(metric, endpoint), level)


def _points(system: DataSet, metrics: Sequence[str]) -> dict[str, str]:
    """Return the operating point of each metric."""
    of_rules = {name: each.point for each in system.decisions for name in each.names}
    return {name: of_rules.get(name, operating_point(name)) for name in metrics}


def _groups_per_class(rows: Predictions) -> npt.NDArray[np.int64]:
    return np.array([len(set(rows.group[rows.target == i].tolist())) for i in range(len(rows.classes))])


def _samples(
    system: DataSet, classes: npt.NDArray[np.int64], metrics: Sequence[str], seed: int
) -> dict[str, BootstrapSamples]:
    """Return the samples of each metric on the rows of some classes.

    They are the mean over the trainings, whose variance the intervals count; metrics of decisions by a rule are those
    of the mean of the trainings' probabilities.
    """
    part = np.flatnonzero(np.isin(system.tables[0].target, classes))
    tables = [table.take(part) for table in system.tables]
    first = tables[0]
    scorers = [Scorer(table.probabilities, table.target, table.classes, names=metrics) for table in tables]
    resampler = Resampler(first.group, first.target, first.classes)
    samples = [bootstrap(scorer, resampler, n_draws=DRAWS, seed=seed) for scorer in scorers]
    mean = Trainings(dict(enumerate(samples))).mean()
    found = dict.fromkeys(mean.estimate, mean)
    for each in system.decisions:
        found |= dict.fromkeys(each.names, each.samples(part, n_draws=DRAWS, seed=seed))
    return {name: found[name] for name in metrics if name in found}


def _sentence(row: UnpairedComparison, hypothesis: Hypothesis, level: float) -> str:
    a, b, metric, difference = (
        row["a"],
        row["b"],
        metric_in_sentence(row["metric"], point=row["operating_point"]),
        row["difference"],
    )
    value, low, high = (np.nan if (each := difference[end]) is None else each for end in ("value", "low", "high"))
    p, floor = (np.nan if (each := row[name]) is None else each for name in ("p", "p_floor"))
    if not np.isfinite(p):
        reason = difference.get("note", "it has no value").removeprefix("no interval: ")
        return f"{a} and {b} can't be compared by {metric}: {reason}."
    finding, first = _finding(row, hypothesis, level)
    if first != a and row["role"] != "secondary":
        a, b, value, low, high = b, a, 0 - value, 0 - high, 0 - low
    span = f"{value:+z.3f} [{low:+z.3f}, {high:+z.3f}]".replace("-", "\N{MINUS SIGN}")
    span += f", unpaired, corrected p {p_in_words(row['p_holm'], p <= floor)}"
    mix = " It depends on the class mix, which two sets of images seldom share." if row["class_mix"] else ""
    if row["role"] == "secondary":
        return f"Secondary endpoint {metric}: {a} on its images minus {b} on its is {span}.{mix}"
    return f"{finding}: {a} minus {b} is {span}.{mix}"


def _finding(row: UnpairedComparison, hypothesis: Hypothesis, level: float) -> tuple[str, str]:
    """Return what a comparison shows, in words, and the system that they name first."""
    a, b, value = row["a"], row["b"], row["difference"]["value"] or 0.0
    metric = metric_in_sentence(row["metric"], point=row["operating_point"])
    lower_is_better = direction(row["metric"]) == "min"
    higher, lower = (a, b) if value > 0 else (b, a)
    first = a
    if hypothesis.kind != "superiority" or hypothesis.margin:
        gain, each = -value if lower_is_better else value, f"{metric}, each on its images"
        first, second = hypothesis.ordered(a, b, gain)
        found = hypothesis.result(first, second, each, significant=row["significant"], level=level)
    elif not row["significant"]:
        found = f"no evidence that {metric} differs between the images of {a} and {b}"
    elif lower_is_better:
        first, found = lower, f"{lower} has a lower, better {metric} on its images than {higher} on its"
    else:
        first, found = higher, f"{higher} has a higher {metric} on its images than {lower} on its"
    if row["role"] == "primary":
        found = f"Primary endpoint: {found}"
    elif not row["significant"]:
        found = f"N{found[1:]}"
    return found, first
