"""Metrics of subgroups of the images, such as ages, sexes and sites, and how each differs from the other images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.interval_form import Metrics
from skinlab.evaluation.evidence.population_form import LowestSubgroup, Subgroup, SubgroupDifference, Subgroups
from skinlab.evaluation.evidence.rules import NO_RULES, Rules
from skinlab.evaluation.evidence.views import Bools, View, all_classes, positive_classes
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.registry import metric_in_sentence
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.p_values import holm, p_in_words
from skinlab.evaluation.statistics.unpaired import LEAST_P, unpaired_difference
from skinlab.processes.progress import part, track
from skinlab.text import quantity

KNOWN = ("age", "sex", "site", "skin_tone", "source")  # used where no others are named
AGE_BANDS = (30, 50, 70)
UNKNOWN = "unknown"
MIN_ROWS = 30  # of a subgroup, which else has counts only
MOST_VALUES = 30
RANKED_BY = "balanced_accuracy"

Texts = npt.NDArray[np.object_]


def age_bands(ages: Sequence[str], bands: Sequence[int] = AGE_BANDS) -> list[str]:
    """Return the band of each age in years; text that is no number stays as it is, such as a band already.

    Args:
        ages: text, empty where unknown.
        bands: the first age of each band but the youngest, rising.

    >>> age_bands(["29.0", "30", "85", "", "50-59"])
    ['0-29', '30-49', '70+', '', '50-59']
    """
    edges = [0, *bands]
    names = [f"{low}-{high - 1}" for low, high in pairwise(edges)] + [f"{edges[-1]}+"]
    years = pd.to_numeric(pd.Series(list(ages), dtype=object), errors="coerce")
    places = np.searchsorted(edges, years.fillna(0), side="right") - 1
    return [text if np.isnan(year) else names[i] for text, year, i in zip(ages, years, places, strict=True)]


def subgroup_columns(
    predictions: Predictions,
    metadata: pd.DataFrame | None,
    names: Sequence[str] | None,
    bands: Sequence[int] = AGE_BANDS,
) -> dict[str, Texts]:
    """Return the value of each image in each column of subgroups, ``unknown`` where it has none.

    Args:
        predictions: N rows; their ``source`` is a column, too.
        metadata: N rows of text in the same order, if there are any.
        names: of the columns; None for those of ``KNOWN`` that have two known values or more.
        bands: see :func:`age_bands`.

    Raises:
        ValueError: a column is named that is not there, or has one value or very many.
    """
    there = {} if metadata is None else {str(name): metadata[name].to_numpy(object) for name in metadata.columns}
    own = np.array([str(source) for source in predictions.source], object)
    there["source"] = np.where(own == "", there.get("source", np.full(len(own), "", object)), own)
    found: dict[str, Texts] = {}
    for name in KNOWN if names is None else names:
        if name not in there:
            if names is None:
                continue
            known = ", ".join(each for each in there if each != "source" or (own != "").any()) or "none"
            raise ValueError(
                f"subgroups={name}: the images have no such column (there are: {known}); give a table with it: "
                "metadata=FILE.csv"
            )
        values = np.array(age_bands(there[name].tolist(), bands) if name == "age" else there[name], object)
        if not (fault := values_fault(values.tolist())):
            found[name] = np.where(values == "", UNKNOWN, values)
        elif names is not None:
            raise ValueError(f"subgroups={name}: {fault}")
    return found


def values_fault(values: Sequence[str]) -> str:
    """Return why a column has no subgroups, and what to do; "" where it has some.

    >>> values_fault(["f", "m", "", "f"]), values_fault(["f", ""])
    ('', 'the images have 1 value of it; leave it out')
    """
    n = len(set(values) - {""})
    if 1 < n <= MOST_VALUES:
        return ""
    remedy = "name a column of few values" if n > 1 else "leave it out"
    return f"the images have {n} value{'s' * (n != 1)} of it; {remedy}"


@part(25)
def evaluate_subgroups(
    tables: Sequence[Predictions],
    views: Sequence[Predictions],
    columns: Mapping[str, Texts],
    *,
    rules: Rules = NO_RULES,
    level: float,
    seed: int,
    overlap: float = 0.0,
) -> Subgroups | None:
    """Return the metrics of each subgroup and their differences to the other images; None without columns.

    A subgroup of fewer than ``MIN_ROWS`` images, or without ``MIN_GROUPS`` groups in two classes, has counts alone.
    Metrics are over the classes with so many groups in the subgroup. The difference to the other images is over those
    with so many on both sides, since macro averages over different classes don't compare. Only metrics
    that don't depend on the class mix are shown (Maier-Hein et al., 2024: Metrics Reloaded), which differs by subgroup.
    p-values are corrected over all differences of one metric (Holm, 1979); subgroups are exploratory even so.

    Args:
        tables: of the system: the same N rows in each.
        views: their binary views; none where no class is positive.
        columns: name → value of each row ``(N,)``.
        rules: that the system decides by: the threshold of the headline, and the rule for the called class.
        level: of the intervals.
        seed: of the bootstrap samples.
        overlap: of the trainings that the tables are of, whose variance the intervals count. Both sides of a difference
            have the same trainings, whose variances are added: it is too wide rather than too narrow.
    """
    if not columns:
        return None
    whole = all_classes(tables, "subgroups", rules.called(mean_predictions(tables)), overlap)
    binary = positive_classes(views, "subgroups", rules.at.thresholds, overlap=overlap)
    named = [(column, value) for column in columns for value in _in_order(columns[column])]
    found = [
        _subgroup(whole, binary, column, value, columns[column] == value, level=level, seed=seed)
        for column, value in track(named, "subgroups", len(named))
    ]
    compared = _correct(found)
    return {
        "columns": list(columns),
        "subgroups": found,
        "compared": compared,
        "lowest": _lowest(found, compared, rules.called_point),
        "rule": rules.at.rule,
        "called": rules.called_point,
    }


def _in_order(values: Texts) -> list[str]:
    """Return the distinct values in order, those of ages by age, the unknown last."""
    distinct = sorted(set(values.tolist()) - {UNKNOWN}, key=lambda text: (_first_number(text), text))
    return [*distinct, *([UNKNOWN] if UNKNOWN in values else [])]


def _first_number(text: str) -> float:
    digits = "".join(letter if letter.isdigit() else " " for letter in text).split()
    return float(digits[0]) if text[:1].isdigit() and digits else np.inf


def _subgroup(
    whole: View, binary: View | None, column: str, value: str, inside: Bools, *, level: float, seed: int
) -> Subgroup:
    """Return one subgroup."""
    first = whole.tables[0]
    groups = whole.groups_per_class(inside)
    block: Subgroup = {
        "column": column,
        "value": value,
        "rows": int(inside.sum()),
        "groups": len(np.unique(first.group[inside].astype(str))),
        "support": {name: int((first.target[inside] == i).sum()) for i, name in enumerate(first.classes)},
        "groups_per_class": {name: int(n) for name, n in zip(first.classes, groups, strict=True)},
        "classes": [],
        "compared_classes": [],
        "metrics": None,
        "binary": None,
        "differences": {},
        "note": "",
    }
    if block["rows"] < MIN_ROWS:
        return block | {"note": f"fewer than {MIN_ROWS} images"}
    if (groups >= MIN_GROUPS).sum() < 2:
        return block | {"note": f"fewer than two classes with {MIN_GROUPS} groups"}
    block["metrics"], differences, classes = _measure(whole, inside, level=level, seed=seed)
    block["classes"], block["compared_classes"] = ([first.classes[i] for i in each] for each in classes)
    if binary is not None and binary.groups_per_class(inside).min() >= MIN_GROUPS:
        block["binary"], more, _ = _measure(binary, inside, level=level, seed=seed)
        differences |= more
    block["differences"] = differences
    block["note"] = "" if differences else "the other images are too few for a comparison"
    return block


def _measure(
    view: View, inside: Bools, *, level: float, seed: int
) -> tuple[Metrics, dict[str, SubgroupDifference], tuple[list[int], list[int]]]:
    """Return the metrics of a subgroup, their differences to the other images, and the classes of both."""
    ours, theirs = view.groups_per_class(inside), view.groups_per_class(~inside)
    own = np.flatnonzero(ours >= MIN_GROUPS)
    shared = np.flatnonzero(np.minimum(ours, theirs) >= MIN_GROUPS)
    target = view.tables[0].target
    samples = view.samples(inside & np.isin(target, own), seed=seed)
    metrics: Metrics = {name: samples.interval(name, level).to_dict() for name in view.names}
    others = ~inside & np.isin(target, shared)
    if len(shared) < 2 or others.sum() < MIN_ROWS:
        return metrics, {}, (own.tolist(), [])
    if len(shared) < len(own):
        samples = view.samples(inside & np.isin(target, shared), seed=seed)
    rest, differences = view.samples(others, seed=seed), {}
    for name in view.names:
        interval, p = unpaired_difference(samples, rest, name, level)
        differences[name] = SubgroupDifference(
            difference=interval.to_dict(),
            p=p,
            p_holm=p,
            p_floor=LEAST_P,
            here=samples.estimate[name],
            others=rest.estimate[name],
        )
    return metrics, differences, (own.tolist(), shared.tolist())


def _correct(found: Sequence[Subgroup]) -> int:
    """Correct the p-values of each metric over the subgroups, and return of how many."""
    names = {name for each in found for name in each["differences"]}
    compared = 0
    for name in names:
        rows: list[SubgroupDifference] = [each["differences"][name] for each in found if name in each["differences"]]
        for row, p in zip(rows, holm([row["p"] if row["p"] is not None else np.nan for row in rows]), strict=True):
            row["p_holm"] = p
        compared = max(compared, len(rows))
    return compared


def _lowest(found: Sequence[Subgroup], compared: int, point: str) -> LowestSubgroup | None:
    """Return the subgroup that falls most behind the other images, at the operating point of the called class."""
    ranked = [
        each
        for each in found
        if RANKED_BY in each["differences"] and each["value"] != UNKNOWN
        if np.isfinite(each["differences"][RANKED_BY]["p"] or np.nan)
    ]
    if not ranked:
        return None
    worst = min(ranked, key=lambda each: each["differences"][RANKED_BY]["difference"]["value"] or 0.0)
    row = worst["differences"][RANKED_BY]
    span = "{value:+z.3f} [{low:+z.3f}, {high:+z.3f}]".format(**row["difference"]).replace("-", "\N{MINUS SIGN}")
    p, p_holm = (np.nan if (each := row[name]) is None else each for name in ("p", "p_holm"))
    bound = p_in_words(p_holm, p <= LEAST_P)
    n, of_all = len(worst["compared_classes"]), len(worst["support"])
    over = f" over {n} of {of_all} classes ({', '.join(worst['compared_classes'])})" if n < of_all else ""
    sentence = (
        f"Of {quantity(compared, 'subgroup')} {worst['column']} {worst['value']} ({quantity(worst['rows'], 'image')}, "
        f"{quantity(worst['groups'], 'group')}) has the lowest {metric_in_sentence(RANKED_BY, point=point)}{over} "
        f"against the other images: {row['here']:.3f} against {row['others']:.3f}, {span}, corrected p {bound} "
        "(exploratory)."
    )
    return {
        "column": worst["column"],
        "value": worst["value"],
        "metric": RANKED_BY,
        "sentence": sentence,
        "p_holm": row["p_holm"],
    }
