"""Coverage of the intervals by simulation: ``python -m tests.coverage_table`` writes docs/coverage.md.

A study has groups (lesions) of one class each, with several images that resemble each other, and a classifier whose
logits are those of normal distributions, made a little too extreme. The truth is the metric of a table of many images.
The systems of a difference see the same images with noise of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import softmax

from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap

PLACE = Path(__file__).parents[1] / "docs" / "coverage.md"
HAM = (0.67, 0.11, 0.11, 0.051, 0.033, 0.014, 0.012)
LOW, HIGH = 0.92, 0.97
REPEATS = 600
TRUTH_GROUPS = 100_000
SEED = 1  # the rules of the intervals were chosen on simulations with seed 0
SHOWN = 0.05  # share of the studies with an interval from which a cell is filled in
OF_ALL = ["balanced_accuracy", "accuracy", "f1_macro", "pr_auc_macro", "auroc_macro", "partial_auroc_macro"]
OF_ALL += ["mcc", "brier", "log_loss"]
OF_CLASS = ["recall", "specificity", "precision", "npv", "f1", "auroc", "pr_auc", "partial_auroc"]
OF_CLASS += ["calibration_slope", "calibration_intercept"]
COMPARED = [
    "balanced_accuracy",
    "f1_macro",
    "pr_auc_macro",
    "auroc_macro",
    "brier",
    "log_loss",
    "recall/c1",
    "pr_auc/c1",
]
DIFFERENCE, DASH = "difference of ", "-"
SEPARATION, ALIKE, EXTREME = 1.6, 0.7, 1.3


@dataclass(frozen=True)
class Cell:
    """One situation: shares of the classes, groups, and images of a group (1 to ``2 * images - 1``)."""

    shares: tuple[float, ...]
    groups: int
    images: int

    @property
    def title(self) -> str:
        """Groups and images, as the head of a column."""
        return f"{self.groups} of {self.images}"


BINARY = [Cell((1 - p, p), n, m) for p in (0.5, 0.1) for n in (40, 100, 400) for m in (1, 3)]
SEVEN = [Cell(HAM, n, m) for n, m in ((200, 1), (800, 1), (800, 2))]


def simulate(
    cell: Cell, rng: np.random.Generator, n_groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return probabilities ``(N, C)`` of two systems, class numbers and groups ``(N,)`` of one study."""
    n_classes = len(cell.shares)
    group_class = rng.choice(n_classes, size=n_groups, p=np.array(cell.shares) / sum(cell.shares))
    size = rng.integers(1, 2 * cell.images, size=n_groups)
    group = np.repeat(np.arange(n_groups), size)
    target = group_class[group]

    def noise() -> np.ndarray:
        of_group = rng.standard_normal((n_groups, n_classes))[group]
        return np.sqrt(1 - ALIKE**2) * rng.standard_normal((len(group), n_classes)) + ALIKE * of_group

    image, prior = noise(), EXTREME * np.log(cell.shares)
    systems = []
    for _ in range(2):
        z = np.sqrt(0.8) * image + np.sqrt(0.2) * noise()
        z[np.arange(len(target)), target] += SEPARATION
        systems.append(softmax(EXTREME * SEPARATION * z + prior, axis=1))
    return systems[0], systems[1], target, group


def judge(cell: Cell, repeats: int, seed: int = SEED) -> Iterator[tuple[str, bool, bool]]:
    """Yield the metric, whether it has an interval, and whether that covers the truth, of every study."""
    rng, names = np.random.default_rng(seed), [f"c{i}" for i in range(len(cell.shares))]
    own = [f"{metric}/{name}" for name in names[1 :: max(len(names) - 2, 1)] for metric in OF_CLASS]
    metrics = {"": [*OF_ALL, *own], DIFFERENCE: COMPARED}
    p, _, target, _ = simulate(cell, rng, TRUTH_GROUPS)
    truth = Scorer(p, target, names, names=metrics[""])(np.ones((len(target), 1)))
    for _ in range(repeats):
        first, second, target, group = simulate(cell, rng, cell.groups)
        if len(np.unique(target)) < 2:
            continue
        resampler = Resampler(group, target, names)
        one = bootstrap(Scorer(first, target, names, names=metrics[""]), resampler, n_draws=0)
        other = bootstrap(Scorer(second, target, names, names=COMPARED), resampler, n_draws=0)
        for label, samples in (("", one), (DIFFERENCE, one.minus(other))):
            for name in metrics[label]:
                found, real = samples.interval(name), 0.0 if label else float(truth[name][0])
                shown = bool(np.isfinite(found.low))
                yield label + name, shown, shown and found.low - 1e-12 <= real <= found.high + 1e-12


def coverage(cell: Cell, repeats: int = REPEATS) -> dict[str, tuple[float, float]]:
    """Return metric → share of the studies with an interval, and share of these that cover the truth."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for name, shown, covers in judge(cell, repeats):
        counts[name] = [a + b for a, b in zip(counts[name], (1, shown, covers), strict=True)]
    return {name: (shown / n, covers / shown if shown else np.nan) for name, (n, shown, covers) in counts.items()}


def write_table() -> None:
    """Simulate every cell and write the tables."""
    PLACE.write_text("\n".join(_page()) + "\n", encoding="utf-8")


def _page() -> list[str]:
    lines = [
        "# Coverage of the intervals",
        "",
        f"`python -m tests.coverage_table` simulates {REPEATS} studies a column (a quarter of them with 800",
        "groups of seven classes) and counts how many 95 % intervals hold the true value, in percent. A",
        f"column is a number of groups and the mean number of images of a group. A dash: fewer than {SHOWN:.0%} of",
        "the studies have an interval, since a class has too few groups; in brackets: the share of the",
        "studies with an interval, where it is under 95 %. Where it is small, the studies with an interval are those",
        "that have more groups of a rare class by chance, and differ from the others in more than the interval.",
        "The rules (least numbers of groups, degrees of freedom) were chosen on simulations of the same kind with",
        "another seed; scores are normal on the logit scale throughout.",
        "",
        f"**Bold**: outside {100 * LOW:g} to {100 * HIGH:g}",
        f"% by more than twice the standard error of the simulation. Entries above {100 * HIGH:g} are",
        "conservative: these intervals are shown although they are wider than need be. So are those of F1 and",
        "PPV, and of differences of rankings, where a class has about 20 groups or fewer.",
        "",
        "Intervals are Student's t by a jackknife of groups, on the logit scale of the metric's bounds; Wilson's for",
        "sensitivity, specificity, PPV, NPV and accuracy; plain for differences of two systems on the same images.",
        "Expected calibration errors have no interval.",
    ]
    for title, cells in (
        ("Two classes, half of the groups positive", BINARY[:6]),
        ("Two classes, a tenth of the groups positive", BINARY[6:]),
        ("Seven classes with the shares of HAM10000 (c1: 11 %, c6: 1.2 %)", SEVEN),
    ):
        lines += ["", f"## {title}", "", *_rows(cells)]
    return lines


def _rows(cells: Sequence[Cell]) -> list[str]:
    found = []
    for cell in cells:
        repeats = REPEATS if len(cell.shares) == 2 or cell.groups < 800 else REPEATS // 4
        found.append((coverage(cell, repeats), repeats))
        print(f"{len(cell.shares)} classes, {cell.title}: {repeats} studies", flush=True)
    names = list(dict.fromkeys(name for each, _ in found for name in each))
    heads = [f"| metric | {' | '.join(cell.title for cell in cells)} |", "|---" * (len(cells) + 1) + "|"]
    return heads + [f"| {name} | {' | '.join(_entry(each.get(name), n) for each, n in found)} |" for name in names]


def _entry(found: tuple[float, float] | None, repeats: int) -> str:
    if found is None or found[0] < SHOWN:
        return DASH
    shown, covers = found
    error = 2 * np.sqrt(0.95 * 0.05 / (shown * repeats))
    text = f"{100 * covers:.1f}"
    text = text if LOW - error <= covers <= HIGH + error else f"**{text}**"
    return text if shown > 0.95 else f"{text} ({shown:.0%})"


if __name__ == "__main__":
    write_table()
