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
from skinlab.evaluation.statistics.bootstrap import N_DRAWS, BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.comparison import Endpoint, hypothesis_of, pairs_of, role_of
from skinlab.evaluation.statistics.hypotheses import Hypothesis
from skinlab.evaluation.statistics.p_values import holm_by_family, p_in_words
from skinlab.evaluation.statistics.trainings import Trainings
from skinlab.evaluation.statistics.unpaired import unpaired_difference

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife


def compare_data_sets(
    systems: Sequence[tuple[str, Sequence[Predictions]]],
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
        systems: name, and tables of the same rows (its trainings) of each; no two systems share a row.
        metrics: names of the metrics to compare by.
        level: of the intervals; 1 - level is the error rate of the sentences, after Holm's correction over all, or
            over those by the endpoint and apart from them over the secondary ones.
        seed: of the bootstrap samples.
        n_draws: no p is below 2 / (n_draws + 1), as in paired comparisons.
        reference: the system that all others are compared with, every pair by default.
        endpoint: declared before.
    """
    shared = np.flatnonzero(np.min([_groups_per_class(tables[0]) for _, tables in systems], axis=0) >= MIN_GROUPS)
    classes = [systems[0][1][0].classes[i] for i in shared]
    if len(classes) < 2:
        return {"classes": classes, "metrics": {}, "comparisons": []}
    metrics = list(dict.fromkeys([*([endpoint.metric] if endpoint else []), *metrics]))
    samples = [(name, _samples(tables, shared, metrics, seed)) for name, tables in systems]
    return {
        "classes": classes,
        "metrics": {name: {key: each.interval(key, level).to_dict() for key in metrics} for name, each in samples},
        "comparisons": _compare(samples, metrics, reference, endpoint, level=level, least_p=2 / (n_draws + 1)),
    }


def _compare(
    samples: Sequence[tuple[str, BootstrapSamples]],
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
            interval, p = unpaired_difference(a, b, metric, level, hypothesis, least_p)
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
        row["sentence"] = _sentence(row, hypothesis, level)
    return found


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


def _sentence(row: UnpairedComparison, hypothesis: Hypothesis, level: float) -> str:
    a, b, metric, difference = row["a"], row["b"], metric_in_sentence(row["metric"]), row["difference"]
    value, low, high = (np.nan if (each := difference[end]) is None else each for end in ("value", "low", "high"))
    p, floor = (np.nan if (each := row[name]) is None else each for name in ("p", "p_floor"))
    if not np.isfinite(p):
        reason = difference.get("note", "it has no value").removeprefix("no interval: ")
        return f"{a} and {b} can't be compared by {metric}: {reason}."
    span = f"{value:+.3f} [{low:+.3f}, {high:+.3f}]".replace("-", "\N{MINUS SIGN}")
    span += f", unpaired, corrected p {p_in_words(row['p_holm'], p <= floor)}"
    mix = " It depends on the class mix, which two sets of images seldom share." if row["class_mix"] else ""
    if row["role"] == "secondary":
        return f"Secondary endpoint {metric}: {a} on its images minus {b} on its is {span}.{mix}"
    return f"{_finding(row, hypothesis, level)}: {a} minus {b} is {span}.{mix}"


def _finding(row: UnpairedComparison, hypothesis: Hypothesis, level: float) -> str:
    """Return what a comparison shows, in words."""
    a, b, metric, value = row["a"], row["b"], metric_in_sentence(row["metric"]), row["difference"]["value"] or 0.0
    lower_is_better = direction(row["metric"]) == "min"
    higher, lower = (a, b) if value > 0 else (b, a)
    if hypothesis.kind != "superiority" or hypothesis.margin:
        gain, each = -value if lower_is_better else value, f"{metric}, each on its images"
        found = hypothesis.result(a, b, gain, each, significant=row["significant"], level=level)
    elif not row["significant"]:
        found = f"no evidence that {metric} differs between the images of {a} and {b}"
    elif lower_is_better:
        found = f"{lower} has a lower, better {metric} on its images than {higher} on its"
    else:
        found = f"{higher} has a higher {metric} on its images than {lower} on its"
    if row["role"] == "primary":
        return f"Primary endpoint: {found}"
    return f"N{found[1:]}" if not row["significant"] else found
