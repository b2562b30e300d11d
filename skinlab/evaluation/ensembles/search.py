"""Choose members of an ensemble by nested cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.ensembles.combination import Floats, Ints, combine, stacked
from skinlab.evaluation.evidence import form as evidence_form
from skinlab.evaluation.metrics.registry import direction
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import check_target
from skinlab.evaluation.statistics.folds import group_folds
from skinlab.processes.progress import Progress, counted

Subset = tuple[int, ...]

MAX_SUBSETS = 64  # above this, subsets of three and more grow from the best pair instead of being listed


def diversity(members: Floats, names: Sequence[str], target: Ints) -> list[evidence_form.Diversity]:
    """Return the diversity of each pair of members.

    ``disagreement`` is the share of rows they predict differently, ``both_wrong`` the share on which both err,
    ``error_correlation`` the correlation of their 0/1 errors, ``q_statistic`` Yule's Q of the errors (Kuncheva and
    Whitaker, 2003). The last two are 0 for independent errors, 1 at most, NaN where they have no meaning.

    Args:
        members: ``(M, N, C)`` probabilities; the most probable class is predicted.
        names: M names.
        target: ``(N,)`` true class numbers.

    >>> sure = np.eye(2)[[[0, 0, 1, 1], [0, 1, 0, 1]]]
    >>> diversity(sure, ["a", "b"], np.array([0, 0, 0, 1]))[0]["disagreement"]
    0.5
    """
    members = stacked(members)
    check_target(members, target)
    predicted = members.argmax(2)
    wrong = (predicted != target).astype(np.int64)
    pairs: list[evidence_form.Diversity] = []
    for i, j in combinations(range(len(members)), 2):
        neither, only_j, only_i, both = np.bincount(2 * wrong[i] + wrong[j], minlength=4) / len(target)
        alike, unlike = both * neither, only_i * only_j
        spread = np.sqrt((both + only_i) * (neither + only_j) * (both + only_j) * (neither + only_i))
        pair: evidence_form.Diversity = {
            "a": names[i],
            "b": names[j],
            "disagreement": float((predicted[i] != predicted[j]).mean()),
            "both_wrong": float(both),
            "error_correlation": float((alike - unlike) / spread) if spread > 0 else float("nan"),
            "q_statistic": float((alike - unlike) / (alike + unlike)) if alike + unlike > 0 else float("nan"),
        }
        pairs.append(pair)
    return pairs


@dataclass(frozen=True)
class SubsetChoice:
    """The best candidate of one kind, and the benefit of choosing it.

    Attributes:
        chosen: names of the members that are best on all rows.
        per_fold: the choice made without each outer fold, in order.
        nested: the metric of all rows, each combined by the choice made without its fold (nested cross-validation).
        same_rows: the metric of ``chosen`` on the rows it was chosen on, which is optimistic.
        candidate_mean: the mean metric of the candidates with as many members, as of one picked at random.
        optimism: by how much ``same_rows`` is better than ``nested``.
        gain: by how much ``nested`` is better than ``candidate_mean``: the benefit of choosing.
        probabilities: ``(N, C)`` behind ``nested``, for intervals and paired comparisons.
    """

    chosen: tuple[str, ...]
    per_fold: tuple[tuple[str, ...], ...]
    nested: float
    same_rows: float
    candidate_mean: float
    optimism: float
    gain: float
    probabilities: Floats

    @property
    def folds_agreeing(self) -> int:
        """Return the number of outer folds whose choice is that of all rows."""
        return self.per_fold.count(self.chosen)

    def to_dict(self) -> evidence_form.Subset:
        """Return its block in ``evidence.json``."""
        values = {name: getattr(self, name) for name in evidence_form.Subset.__annotations__}
        return cast("evidence_form.Subset", values | {"chosen": list(self.chosen)})


@dataclass(frozen=True)
class Search:
    """The result of a nested search.

    Attributes:
        single, pair, subset: the best member, pair, and subset from two members to the largest size.
        all_members: the metric of all members together, which needs no choice and has no optimism.
        n_candidates: how many candidates were compared on all rows.
        exhaustive: whether these were all there are.
    """

    single: SubsetChoice
    pair: SubsetChoice
    subset: SubsetChoice
    all_members: float
    n_candidates: int
    exhaustive: bool


class _SubsetScorer:
    """Combines subsets of the members once each and gives their metric on some of the rows, more being better."""

    def __init__(
        self, members: Floats, target: Ints, classes: Sequence[str], metric: str, method: str, thresholds: Floats | None
    ) -> None:
        self.members, self.target, self.classes = members, target, classes
        self.metric, self.method, self.thresholds = metric, method, thresholds
        if direction(metric) is None:
            raise ValueError(f"search={metric} has no better direction; choose e.g. pr_auc_macro")
        self.sign = -1 if direction(metric) == "min" else 1
        self.combined: dict[Subset, Floats] = {}

    def probabilities(self, subset: Subset) -> Floats:
        if subset not in self.combined:
            thresholds = None if self.thresholds is None else self.thresholds[list(subset)]
            self.combined[subset] = combine(self.members[list(subset)], self.method, thresholds=thresholds)
        return self.combined[subset]

    def score(self, probabilities: Floats, rows: npt.NDArray[np.bool_]) -> float:
        metrics = classification_metrics(probabilities[rows], self.target[rows], self.classes)
        if self.metric not in metrics:
            known = ", ".join(name for name in metrics if "/" not in name)
            raise ValueError(f"search={self.metric} is no metric; choose one of {known}, or one of a class")
        return self.sign * metrics[self.metric]

    def candidates(self, rows: npt.NDArray[np.bool_], max_size: int) -> dict[Subset, float]:
        """Return candidate → score on some rows: every subset, or beyond pairs those that grow from the best one."""
        m = len(self.members)
        listed = max_size if sum(comb(m, size) for size in range(1, max_size + 1)) <= MAX_SUBSETS else 2
        subsets = [subset for size in range(1, listed + 1) for subset in combinations(range(m), size)]
        scores = {subset: self.score(self.probabilities(subset), rows) for subset in subsets}
        for size in range(listed + 1, max_size + 1):
            core = best(scores, size - 1, size - 1)
            for subset in (tuple(sorted((*core, j))) for j in range(m) if j not in core):
                scores[subset] = self.score(self.probabilities(subset), rows)
        return scores


def best(scores: Mapping[Subset, float], smallest: int, largest: int) -> Subset:
    """Return the candidate of some sizes with the highest score; of equals the smallest, then the first.

    >>> best({(0,): 0.9, (0, 1): 0.7, (0, 2): 0.8, (0, 1, 2): 0.8}, 2, 3)
    (0, 2)
    """
    within = {subset: score for subset, score in scores.items() if smallest <= len(subset) <= largest}
    return max(within, key=lambda subset: (-np.inf if np.isnan(within[subset]) else within[subset], -len(subset)))


def search_subsets(
    members: Floats,
    names: Sequence[str],
    target: Ints,
    groups: npt.NDArray[Any],
    classes: Sequence[str],
    metric: str = "pr_auc_macro",
    max_size: int = 3,
    n_folds: int = 5,
    seed: int = 0,
    method: str = "mean",
    thresholds: Floats | None = None,
) -> Search:
    """Return the best member, pair and small subset, each with its nested metric and the optimism of the choice.

    In each outer fold the choice is made on the other rows and applied to the held ones, which together give the
    nested metric. Only the choice is nested: members are not trained again. Where folds choose differently, a ranking
    metric of the pooled rows also suffers from the different scales. Up to 64 subsets are all compared; of more,
    singles and pairs are, and larger ones grow from the best smaller one. Ten members of 10,000 rows take half a
    minute.

    Args:
        members: ``(M, N, C)`` out-of-fold probabilities.
        names: M names.
        target: ``(N,)`` true class numbers.
        groups: ``(N,)``; a group is never cut.
        classes: C class names.
        metric: name of the metric that chooses, of ``classification_metrics``.
        max_size: most members in the small subset, 2 or more.
        n_folds: number of outer folds.
        seed: of the folds.
        method: of ``combine``, all but ``weighted``. ``rank`` ranks among all rows, without their labels.
        thresholds: ``(M,)`` for ``overlap``, chosen on other rows than these.

    Raises:
        ValueError: fewer than two members, wrong names or settings, one class, or a class within one fold.
    """
    check_target(members := stacked(members), target)
    m, largest, rows = len(members), min(max_size, len(members)), np.ones(len(target), bool)
    if m < 2 or len(names) != m or len(set(names)) != m:
        raise ValueError(f"{m} members named {', '.join(names)}: a search needs two or more, each with its own name")
    if max_size < 2 or method == "weighted":
        raise ValueError(f"max_size={max_size}, method={method}: search two members or more, without learned weights")
    fold = group_folds(groups, target, n_folds, seed)
    _check_classes(fold, target, classes)
    scorer = _SubsetScorer(members, target, classes, metric, method, thresholds)
    with Progress("searching the best members", n_folds):
        overall = scorer.candidates(rows, largest)
        if np.isnan(list(overall.values())).all():
            raise ValueError(f"search={metric} is undefined on these images; choose another metric")
        within = [scorer.candidates(fold != k, largest) for k in counted(np.unique(fold))]
    return Search(
        single=_choice(scorer, overall, within, fold, names, (1, 1)),
        pair=_choice(scorer, overall, within, fold, names, (2, 2)),
        subset=_choice(scorer, overall, within, fold, names, (2, largest)),
        all_members=scorer.sign * scorer.score(scorer.probabilities(tuple(range(m))), rows),
        n_candidates=len(overall),
        exhaustive=len(overall) == sum(comb(m, size) for size in range(1, largest + 1)),
    )


def _check_classes(fold: Ints, target: Ints, classes: Sequence[str]) -> None:
    present = np.unique(target)
    if len(present) < 2:
        raise ValueError(f"all {len(target)} images are {classes[present[0]]}; a choice needs images of two classes")
    alone = [str(classes[c]) for c in present if len(np.unique(fold[target == c])) < 2]
    if alone:
        raise ValueError(f"all images of {', '.join(alone)} are in one fold; add groups or leave the class out")


def _choice(
    scorer: _SubsetScorer,
    overall: Mapping[Subset, float],
    within: Sequence[Mapping[Subset, float]],
    fold: Ints,
    names: Sequence[str],
    sizes: tuple[int, int],
) -> SubsetChoice:
    chosen, picks = best(overall, *sizes), [best(scores, *sizes) for scores in within]
    nested = np.empty(scorer.members.shape[1:])
    for k, pick in enumerate(picks):
        nested[fold == k] = scorer.probabilities(pick)[fold == k]
    nested_score, same_rows = scorer.score(nested, np.ones(len(fold), bool)), overall[chosen]
    candidate_mean = float(np.mean([score for subset, score in overall.items() if len(subset) == len(chosen)]))
    return SubsetChoice(
        chosen=tuple(names[i] for i in chosen),
        per_fold=tuple(tuple(names[i] for i in pick) for pick in picks),
        nested=scorer.sign * nested_score,
        same_rows=scorer.sign * same_rows,
        candidate_mean=scorer.sign * candidate_mean,
        optimism=same_rows - nested_score,
        gain=nested_score - candidate_mean,
        probabilities=nested,
    )
