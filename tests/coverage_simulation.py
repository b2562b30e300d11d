"""Simulated studies: groups of images, two systems that score them, and which intervals hold the truth.

A study has groups (lesions) of one class each, with several images that resemble each other. Scores are drawn on the
logit scale and made a little too extreme; the two systems of a difference see the same images with noise of their own.
The truth is the metric of a table of many images.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import softmax

from skinlab.evaluation.calibration.smooth import calibration_curve
from skinlab.evaluation.evidence.calibration import NET_BENEFIT_AT, decision_curve_band, risk_coverage_interval
from skinlab.evaluation.metrics.curves import GRID, class_curves
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.intervals import Interval
from skinlab.evaluation.statistics.unpaired import unpaired_difference
from skinlab.evaluation.thresholds.choice import choose_threshold, threshold_interval
from skinlab.evaluation.thresholds.prevalence import estimate_prevalence

OF_ALL = ["balanced_accuracy", "accuracy", "f1_macro", "pr_auc_macro", "auroc_macro", "partial_auroc_macro"]
OF_ALL += ["mcc", "brier", "log_loss"]
OF_CLASS = ["recall", "specificity", "precision", "npv", "f1", "auroc", "pr_auc", "partial_auroc"]
OF_CLASS += ["calibration_slope", "calibration_intercept"]
DIFFERENCE, UNPAIRED = "difference of ", "unpaired difference of "
COMPARED = [*OF_ALL[:5], "mcc", "brier", "log_loss"]
COMPARED_OF_CLASS = ["recall", "specificity", "precision", "npv", "f1", "auroc", "pr_auc"]
UNPAIRED_METRICS = ["balanced_accuracy", "auroc_macro", "brier"]
TRUTH_GROUPS = 100_000
Found = tuple[str, bool, bool]


@dataclass(frozen=True)
class Scores:
    """How a classifier's scores arise.

    Attributes:
        name: in the tables.
        separation: distance of a class from the others, in standard deviations.
        alike: correlation of the images of a group.
        extreme: by what the logits are too large.
        tails: degrees of freedom of the noise, Student's t.
        decimals: of the probabilities.
    """

    name: str = "normal"
    separation: float = 1.6
    alike: float = 0.7
    extreme: float = 1.3
    tails: float = np.inf
    decimals: int | None = None


NORMAL = Scores()
OTHER_SCORES = [
    Scores("weak separation", separation=0.8),
    Scores("heavy tails (t, 3)", tails=3),
    Scores("one decimal", decimals=1),
    Scores("images alike (.95)", alike=0.95**0.5),
]


@dataclass(frozen=True)
class Cell:
    """One situation: shares of the classes, groups, images of a group (1 to ``2 * images - 1``), and scores."""

    shares: tuple[float, ...]
    groups: int
    images: int
    scores: Scores = NORMAL

    @property
    def title(self) -> str:
        """Groups and images, as the head of a column."""
        return f"{self.groups} of {self.images}"

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return [f"c{i}" for i in range(len(self.shares))]


def simulate(
    cell: Cell, rng: np.random.Generator, n_groups: int | None = None, trained_on: Cell | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities ``(N, C)`` of two systems, class numbers and groups ``(N,)`` of one study."""
    n_classes, scores, n_groups = len(cell.shares), cell.scores, n_groups or cell.groups
    group_class = rng.choice(n_classes, size=n_groups, p=np.array(cell.shares) / sum(cell.shares))
    size = rng.integers(1, 2 * cell.images, size=n_groups)
    group = np.repeat(np.arange(n_groups), size)
    target = group_class[group]

    def noise() -> np.ndarray:
        if np.isfinite(scores.tails):
            scale = np.sqrt((scores.tails - 2) / scores.tails)
            draw = partial(lambda shape: scale * rng.standard_t(scores.tails, size=shape))
        else:
            draw = partial(rng.standard_normal)
        of_group = draw((n_groups, n_classes))[group]
        return np.sqrt(1 - scores.alike**2) * draw((len(group), n_classes)) + scores.alike * of_group

    image, prior = noise(), scores.extreme * np.log((trained_on or cell).shares)
    systems = []
    for _ in range(2):
        z = np.sqrt(0.8) * image + np.sqrt(0.2) * noise()
        z[np.arange(len(target)), target] += scores.separation
        p = softmax(scores.extreme * scores.separation * z + prior, axis=1)
        systems.append(p if scores.decimals is None else p.round(scores.decimals))
    return systems[0], systems[1], target, group


def judge_metrics(cell: Cell, repeats: int, seed: int) -> Iterator[Found]:
    """Yield the metric, whether it has an interval, and whether that holds the truth, of every study."""
    rng, names = np.random.default_rng(seed), cell.classes
    watched = names[1 :: max(len(names) - 2, 1)]
    metrics = [*OF_ALL, *(f"{metric}/{name}" for name in watched for metric in OF_CLASS)]
    compared = [*COMPARED, *(f"{metric}/{watched[-1]}" for metric in COMPARED_OF_CLASS)]
    p, _, target, _ = simulate(cell, rng, TRUTH_GROUPS)
    truth = Scorer(p, target, names, names=metrics)(np.ones((len(target), 1)))
    for _ in range(repeats):
        first, second, target, group = simulate(cell, rng)
        if len(np.unique(target)) < 2:
            continue
        resampler = Resampler(group, target, names)
        one = bootstrap(Scorer(first, target, names, names=metrics), resampler, n_draws=0)
        other = bootstrap(Scorer(second, target, names, names=compared), resampler, n_draws=0)
        for name in metrics:
            yield name, *_holds(one.interval(name), float(truth[name][0]))
        difference = one.minus(other)
        for name in compared:
            yield DIFFERENCE + name, *_holds(difference.interval(name), 0.0)


def judge_others(cell: Cell, repeats: int, seed: int) -> Iterator[Found]:
    """Yield the same of bands, thresholds, areas and unpaired differences, of two classes."""
    rng = np.random.default_rng(seed)
    truth = _others(cell, rng, TRUTH_GROUPS // 5, large=True)
    for _ in range(repeats):
        for name, found in _others(cell, rng, cell.groups).items():
            yield name, *_holds(found, truth[name].value)


def judge_prevalence(cell: Cell, repeats: int, seed: int) -> Iterator[Found]:
    """Yield the same of the share of positives among images without labels, half of that among those with labels."""
    rng, share = np.random.default_rng(seed), cell.shares[1] / 2
    elsewhere = replace(cell, shares=(1 - share, share))
    for _ in range(repeats):
        own, pool = _predictions(cell, rng, cell.groups), _predictions(elsewhere, rng, 2 * cell.groups, of=cell)
        found = estimate_prevalence(
            pool.probabilities, own.probabilities, own.target, [1], pool_groups=pool.group, groups=own.group
        )
        for how in ("em", "adjusted_count"):
            yield f"prevalence ({how})", *_holds(Interval(**found[how]), share)


def _others(cell: Cell, rng: np.random.Generator, n_groups: int, *, large: bool = False) -> dict[str, Interval]:
    """Return the intervals of one study; of a large one the values alone."""
    view = _predictions(cell, rng, n_groups)
    resampler, score, truth = (
        Resampler(view.group, view.target, view.classes),
        view.probabilities[:, 1],
        view.target == 1,
    )
    curves = class_curves(view, resampler)["c1"]
    found = {f"ROC curve at {at:g}": _at(curves["roc"], GRID, at) for at in (0.1, 0.3)}
    found |= {f"precision-recall curve at {at:g}": _at(curves["pr"], GRID, at) for at in (0.5, 0.8)}
    smooth: dict = calibration_curve(score, truth, view.group) or {}
    for at in (0.2, 0.5, 0.8):
        found[f"calibration curve at {at:g}"] = _at(smooth, np.array(smooth.get("probability", [0.0])), at, "observed")
    benefit = decision_curve_band(view, resampler, level=0.95, seed=0)
    for at in (0.2, 0.5):
        found[f"net benefit at {at:g}"] = _at(benefit, NET_BENEFIT_AT, at, "net_benefit")
    aurc = risk_coverage_interval(view, resampler, level=0.95, seed=0)["aurc"]
    found["risk-coverage area"] = Interval(aurc["value"], aurc["low"], aurc["high"])
    for rule in ("sensitivity>=0.9", "specificity>=0.9"):
        ends = threshold_interval(score, truth, view.group, rule) or (np.nan, np.nan)
        found[f"threshold of {rule}"] = Interval(choose_threshold(score, truth, rule), *ends)
    one, other = (_unpaired_samples(each) for each in (view, _predictions(cell, rng, cell.groups)))
    for name in UNPAIRED_METRICS:
        found[UNPAIRED + name] = Interval(0.0, 0.0, 0.0) if large else unpaired_difference(one, other, name)[0]
    return found


def _unpaired_samples(view: Predictions) -> BootstrapSamples:
    scorer = Scorer(view.probabilities, view.target, view.classes, names=UNPAIRED_METRICS)
    return bootstrap(scorer, Resampler(view.group, view.target, view.classes), n_draws=0)


def _predictions(cell: Cell, rng: np.random.Generator, n_groups: int, of: Cell | None = None) -> Predictions:
    """Return a study's table, by the classifier of another cell if one is given."""
    p, _, target, group = simulate(cell, rng, n_groups, of)
    n = len(target)
    ids, empty = np.arange(n).astype(str).astype(object), np.full(n, "", object)
    p = p / p.sum(1, keepdims=True)
    return Predictions(cell.classes, p, target, ids, group.astype(object), empty, np.full(n, -1))


def _at(curve: dict, x: np.ndarray, at: float, y: str = "y") -> Interval:
    if not curve:
        return Interval.none(np.nan, "")
    ends = [float(np.interp(at, x, curve[key])) if key in curve else np.nan for key in (y, "low", "high")]
    return Interval(*ends)


def _holds(found: Interval, truth: float) -> tuple[bool, bool]:
    shown = bool(np.isfinite(found.low))
    return shown, shown and found.low - 1e-12 <= truth <= found.high + 1e-12


def coverage(
    cell: Cell, repeats: int, seed: int = 1, judge: Callable[[Cell, int, int], Iterator[Found]] = judge_metrics
) -> dict[str, tuple[float, float]]:
    """Return metric → share of the studies with an interval, and share of these that hold the truth."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for name, shown, holds in judge(cell, repeats, seed):
        counts[name] = [a + b for a, b in zip(counts[name], (1, shown, holds), strict=True)]
    return {name: (shown / n, holds / shown if shown else np.nan) for name, (n, shown, holds) in counts.items()}
