"""Power of a study before its first epoch: the smallest difference of two systems found with 80 % power.

Scores are binormal: of standard deviation 1, those of a class shifted so that its area under the ROC curve is the one
expected (Green and Swets, 1966). Two systems predict the same rows, so that their scores are correlated within a class.
Half of what they don't share belongs to the system, half to its seed. The seed moves the area itself, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from skinlab.evaluation.statistics.estimates import LEVEL, POWER, detectable_difference
from skinlab.evaluation.statistics.intervals import Variance

Floats = npt.NDArray[np.float64]
N_TABLES = 400
BLOCK = 50  # tables at a time


@dataclass(frozen=True)
class Design:
    """A study of two systems, and what is assumed of them.

    Attributes:
        counts: test rows a class; of two classes the negatives come first.
        seeds: trainings a system.
        auroc: expected, of each class against the others.
        correlation: between the scores of two systems, within a class. 0.85 is that of two good networks.
        seed_sd: standard deviation of the area between trainings that differ in their seed alone.
        rows_per_group: images of a lesion or patient.
        group_correlation: between the scores of a group's images.
    """

    counts: Sequence[int]
    seeds: int = 1
    auroc: float = 0.9
    correlation: float = 0.85
    seed_sd: float = 0.0
    rows_per_group: float = 1.0
    group_correlation: float = 0.5

    def __post_init__(self) -> None:
        if len(self.counts) < 2 or min(self.counts) < 2 or self.seeds < 1:
            raise ValueError(
                f"counts={list(self.counts)}, seeds={self.seeds}: two rows of two classes, one seed at least"
            )
        if not (0.5 < self.auroc < 1 and 0 <= self.correlation < 1 and 0 <= self.group_correlation <= 1):
            raise ValueError(
                f"auroc={self.auroc}, correlation={self.correlation}, group_correlation={self.group_correlation}: "
                "an area in (0.5, 1), correlations from 0 to 1 are expected"
            )
        if self.seed_sd < 0 or self.rows_per_group < 1:
            raise ValueError(
                f"seed_sd={self.seed_sd}, rows_per_group={self.rows_per_group}: at least 0, and at least 1"
            )


@dataclass(frozen=True)
class Detectable:
    """The power of a study for one metric.

    Attributes:
        expected: the metric itself.
        standard_error: of the mean difference of two systems.
        difference: smallest true difference that is detected with the power wanted.
    """

    expected: float
    standard_error: float
    difference: float


def detectable(
    design: Design,
    *,
    level: float = LEVEL,
    n_controls: int = 1,
    power: float = POWER,
    n_tables: int = N_TABLES,
    seed: int = 0,
) -> dict[str, Detectable]:
    """Simulate pairs of equal systems, and return the smallest difference that a study detects.

    Its variance has a part of the images, with the trainings held fixed, and a part of the trainings, which the study
    will estimate from its few seeds: see :func:`skinlab.evaluation.statistics.estimates.detectable_difference`.

    Args:
        design: of the study.
        level: 1 - level is the error rate of one comparison, after the correction for all of them.
        n_controls: systems that must all be exceeded.
        power: share of studies that detect the difference.
        n_tables: simulated tables.
        seed: of the simulation.

    Returns:
        Name → power, of ``auroc_macro``, ``balanced_accuracy`` and ``pr_auc_positive`` (two classes) or
        ``pr_auc_macro``.

    >>> found = detectable(Design([1014, 59]), n_tables=100)
    >>> sorted(found), found["auroc_macro"].difference > found["auroc_macro"].standard_error
    (['auroc_macro', 'balanced_accuracy', 'pr_auc_positive'], True)
    """
    fixed = simulate(replace(design, seed_sd=0.0), n_tables=n_tables, seed=seed)
    drawn = simulate(design, n_tables=n_tables, seed=seed) if design.seed_sd else fixed
    found = {}
    for name, values in drawn.items():
        differences = values[:, 0] - values[:, 1]
        parts = [Variance(float((fixed[name][:, 0] - fixed[name][:, 1]).mean(1).var(ddof=1)), np.inf)]
        if design.seeds > 1:
            parts.append(Variance(float(differences.var(1, ddof=1).mean()) / design.seeds, design.seeds - 1))
        least = detectable_difference(parts, level, n_controls, power)
        found[name] = Detectable(float(values.mean()), float(differences.mean(1).std(ddof=1)), least)
    return found


def simulate(
    design: Design, *, n_tables: int = N_TABLES, seed: int = 0, gain: float = 0.0
) -> dict[str, npt.NDArray[np.float64]]:
    """Return name → ``(tables, 2, seeds)``, the metrics of two systems; the first is better by `gain` in its area."""
    rng = np.random.default_rng(seed)
    target = np.repeat(np.arange(len(design.counts)), design.counts)
    blocks = [_block(design, target, min(BLOCK, n_tables - start), rng, gain) for start in range(0, n_tables, BLOCK)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _block(
    design: Design, target: npt.NDArray[np.int64], n_tables: int, rng: np.random.Generator, gain: float
) -> dict[str, Floats]:
    n_classes = len(design.counts)
    scored = [1] if n_classes == 2 else list(range(n_classes))
    within = np.concatenate([np.arange(count) for count in design.counts])
    group = np.unique(
        np.stack([target, (within / design.rows_per_group).astype(np.int64)]), axis=1, return_inverse=True
    )[1]

    def noise(share: float) -> Floats:
        """Draw scores ``(R, N, K)`` of a variance, part of it the groups'."""
        shape = (n_tables, len(target), len(scored))
        own, tie = rng.standard_normal(shape), design.group_correlation
        if design.rows_per_group > 1:
            shared = rng.standard_normal((n_tables, group.max() + 1, len(scored)))[:, group.ravel()]
            own = np.sqrt(tie) * shared + np.sqrt(1 - tie) * own
        return np.asarray(np.sqrt(share) * own)

    apart = (1 - design.correlation) / 2
    common = noise(design.correlation)
    found: dict[str, Floats] = {}
    for system in range(2):
        kept = common + noise(apart)
        for k in range(design.seeds):
            area = design.auroc + gain * (system == 0) + design.seed_sd * rng.standard_normal(n_tables)
            shift = np.sqrt(2) * ndtri(np.clip(area, 0.5, 0.9999))[:, None, None]
            scores = kept + noise(apart) + shift * (target[:, None] == np.array(scored))
            for name, values in _metrics(scores, target, shift).items():
                found.setdefault(name, np.empty((n_tables, 2, design.seeds)))[:, system, k] = values
    return found


def _metrics(scores: Floats, target: npt.NDArray[np.int64], shift: Floats) -> dict[str, Floats]:
    """Return the metrics ``(R,)`` of scores ``(R, N, K)``; one score has its threshold midway."""
    n_scores = scores.shape[2]
    if n_scores == 1:
        predicted = (scores[:, :, 0] > shift[:, :, 0] / 2).astype(np.int64)
        area, precision = areas(scores[:, :, 0], target == 1)
        ranked = {"auroc_macro": area, "pr_auc_positive": precision}
    else:
        predicted = scores.argmax(2)
        each = [areas(scores[:, :, c], target == c) for c in range(n_scores)]
        ranked = {"auroc_macro": np.mean([a for a, _ in each], 0), "pr_auc_macro": np.mean([p for _, p in each], 0)}
    recalls = [(predicted[:, target == c] == c).mean(1) for c in np.unique(target)]
    return ranked | {"balanced_accuracy": np.mean(recalls, 0)}


def areas(scores: Floats, truth: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return AUROC and average precision ``(R,)`` of tables of scores ``(R, N)`` without ties.

    >>> areas(np.array([[0.9, 0.8, 0.7]]), np.array([True, False, True]))[0].tolist()
    [0.5]
    """
    hits = truth[np.argsort(-scores, axis=1)]
    caught, missed = hits.cumsum(1), (~hits).cumsum(1)
    n_pos, n_neg = int(truth.sum()), int((~truth).sum())
    precision = (hits * caught / np.arange(1, len(truth) + 1)).sum(1) / n_pos
    return 1 - (hits * missed).sum(1) / (n_pos * n_neg), precision
