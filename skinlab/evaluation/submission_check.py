"""Check a file of 0 and 1 for a challenge against its test images, and against what is known out of fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.expectation import NewSet, expect
from skinlab.evaluation.statistics.intervals import Interval
from skinlab.evaluation.thresholds.choice import choose_threshold, cross_fitted_shares
from skinlab.evaluation.thresholds.f1_range import f1_threshold_range
from skinlab.evaluation.thresholds.operating import BinaryPredictions
from skinlab.processes.progress import track

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the share of positives out of fold
MAX_PREVALENCE = 0.95
NAMED = 3  # ids in a message


def find_faults(table: pd.DataFrame, expected: Sequence[str]) -> list[str]:
    """Return a line for each kind of fault that makes a submission invalid.

    Args:
        table: as text, its first column the ids, its second the labels.
        expected: ids of the test images, in any order.

    >>> find_faults(pd.DataFrame({"ID": ["a", "a"], "label": ["1", "2"]}), ["a", "b"])
    ['1 id twice: a', '1 id missing: b', '1 label is neither 0 nor 1: 2']
    """
    ids, labels = table.iloc[:, 0], table.iloc[:, 1]
    known = set(expected)
    folder, suffix = _missing_parts(ids, known)
    ids = folder + ids + suffix
    there = set(ids)
    numbers = labels[~labels.isin(["0", "1"])]
    decimals = bool(len(numbers)) and numbers.isin(["0.0", "1.0"]).all()
    wrong = _line(numbers.tolist(), "label is neither 0 nor 1", "labels are neither 0 nor 1")
    if len(numbers) and pd.to_numeric(numbers, errors="coerce").between(0, 1).all():
        wrong[0] += ": where these are probabilities, write 1 from a threshold on: skinlab.predict threshold=f1"
    return [
        *(
            [f"ids lack {' and '.join(filter(None, [folder, suffix]))}: write {ids.iloc[0]}"]
            if folder or suffix
            else []
        ),
        *_line(sorted(set(ids[ids.duplicated()])), "id twice", "ids twice"),
        *_line([each for each in expected if each not in there], "id missing", "ids missing"),
        *_line([each for each in ids if each not in known], "id of no test image", "ids of no test image"),
        *(["labels are 0.0 and 1.0: write them as whole numbers, such as by astype(int)"] if decimals else wrong),
    ]


def _missing_parts(ids: pd.Series[str], known: Set[str]) -> tuple[str, str]:
    """Return the folder and the suffix with which most ids are known, where none is without them; "" for what is there.

    >>> _missing_parts(pd.Series(["1", "2"]), {"test/1.jpg", "test/2.jpg"})
    ('test/', '.jpg')
    """
    folders, suffixes = {PurePosixPath(each).parent for each in known}, {PurePosixPath(each).suffix for each in known}
    if len(folders) != 1 or len(suffixes) != 1 or ids.isin(known).any():
        return "", ""
    folder, suffix = f"{folders.pop()}/".removeprefix("./"), suffixes.pop()
    choices = [(folder, ""), ("", suffix), (folder, suffix)]
    return next((each for each in choices if (each[0] + ids + each[1]).isin(known).mean() > 0.5), ("", ""))


def _line(found: Sequence[str], one: str, several: str) -> list[str]:
    named = ", ".join(repr(each) if not each or each != each.strip() else each for each in found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return [f"{len(found)} {one if len(found) == 1 else several}: {named}{more}"] if len(found) else []


@dataclass(frozen=True)
class NewTest:
    """A test to come, and how many of its images a file calls positive.

    Attributes:
        n: images.
        n_called: of them in the file.
        n_scored: images that are scored.
        prevalences: shares of positives to be looked at; None: multiples of that out of fold.
    """

    n: int
    n_called: int
    n_scored: int
    prevalences: Sequence[float] | None = None


@dataclass(frozen=True)
class AppliedThreshold:
    """The threshold by which a file was made.

    Attributes:
        value: from which an image is called.
        rule: by which it was chosen on the out-of-fold images; None where these had no part in it.
        cost_ratio: of the rule ``cost``.
        prevalence: share of positives that the rule chose it for; None: that of the images.
    """

    value: float
    rule: str | None = None
    cost_ratio: float = 1.0
    prevalence: float | None = None


@dataclass(frozen=True)
class Outlook:
    """What out-of-fold predictions say about a test to come.

    Attributes:
        threshold: at which F1 is expected: the file's, or that of best F1 where the file's is not known.
        best_threshold: of best F1 out of fold.
        best_f1: out of fold at it, cross-fitted.
        low: lowest threshold whose F1 is not discernibly below that of another; None where there are too few groups.
        high: highest one.
        discernible: whether the F1 at ``threshold`` is discernibly below that of another threshold.
        cross_fitted: whether ``threshold`` was chosen on these images, which are then called at thresholds that were
            chosen on others.
        positives: number out of fold.
        prevalence: share of positives out of fold.
        called: share predicted positive at ``threshold``.
        expected: range of the number of calls that chance allows on the test, if its share of positives is the same.
        explaining: share of positives that explains a number of calls outside of it; None within it, or where none is.
        f1: out of fold at ``threshold``, with the interval of the result on the test to come at that prevalence.
        rows: for each prevalence: F1 expected at ``threshold`` with its prediction interval, and the threshold that is
            best there.
    """

    threshold: float
    best_threshold: float
    best_f1: float
    low: float | None
    high: float | None
    discernible: bool
    cross_fitted: bool
    positives: int
    prevalence: float
    called: float
    expected: tuple[int, int]
    explaining: float | None
    f1: Interval
    rows: list[dict[str, Any]]


def outlook(
    view: Predictions,
    new: NewTest,
    applied: AppliedThreshold | None = None,
    *,
    n_draws: int,
    level: float,
    seed: int,
) -> Outlook:
    """Return what is expected of a test.

    Args:
        view: out-of-fold rows of two classes, the last one positive.
        new: the test to come.
        applied: threshold from which an image of it is called; None: that of best F1 out of fold.
        n_draws: bootstrap samples.
        level: of the intervals.
        seed: of the bootstrap samples and folds.

    Raises:
        ValueError: there are no positives or no negatives.
    """
    truth, score = view.target == 1, view.probabilities[:, 1]
    best = choose_threshold(score, truth, "f1")
    low, high = f1_threshold_range(score, truth, view.group, level=level, n_draws=n_draws, seed=seed) or (None, None)
    fitted = cross_fitted_shares(score, truth, view.group, "f1", seed=seed)
    applied = applied or AppliedThreshold(best, "f1")
    above = score >= applied.value
    is_best = np.array_equal(above, score >= best)
    predicted = fitted if is_best else above.astype(np.float64)
    if applied.rule is not None:
        predicted = _cross_fitted(view, applied, seed)
    prevalence, called = float(truth.mean()), float(predicted.mean())
    expected = expected_calls(called, len(set(view.group)), new.n, level)
    is_expected = expected[0] <= new.n_called <= expected[1]
    explaining = None if is_expected else explaining_prevalence(predicted, truth, new.n_called / new.n)

    def f1_at(share: float) -> Interval:
        settings: Mapping[str, Any] = {"n_draws": n_draws, "level": level, "seed": seed}
        statistic = BinaryPredictions(predicted, truth)
        return expect(statistic, view.group, view.target, NewSet(new.n_scored, share), **settings)["f1_positive"]

    reached = float(score[above].min()) if above.any() else np.inf  # the highest threshold with the same calls
    return Outlook(
        threshold=applied.value,
        best_threshold=best,
        best_f1=_f1(fitted, truth),
        low=low,
        high=high,
        discernible=not is_best and low is not None and high is not None and not low <= reached <= high,
        cross_fitted=is_best or applied.rule is not None,
        positives=int(truth.sum()),
        prevalence=prevalence,
        called=called,
        expected=expected,
        explaining=explaining,
        f1=f1_at(prevalence),
        rows=_rows(view, _shares(new, prevalence, explaining), f1_at),
    )


def _rows(view: Predictions, shares: Sequence[float], f1_at: Callable[[float], Interval]) -> list[dict[str, Any]]:
    """Return for each share of positives the F1 that is expected and the threshold that is best there."""
    truth, score = view.target == 1, view.probabilities[:, 1]
    return [
        {
            "prevalence": share,
            "f1": f1_at(share).to_dict(),
            "best_threshold": choose_threshold(score, truth, "f1", prevalence=share),
        }
        for share in track(shares, "expecting F1 at each share of positives", len(shares))
    ]


def _cross_fitted(view: Predictions, applied: AppliedThreshold, seed: int) -> npt.NDArray[np.float64]:
    """Return in which share of several cross-fits of a threshold's rule each row is called."""
    how: Mapping[str, Any] = {"cost_ratio": applied.cost_ratio, "prevalence": applied.prevalence, "seed": seed}
    rows = view.probabilities[:, 1], view.target == 1, view.group
    return cross_fitted_shares(*rows, str(applied.rule), **how)


def _shares(new: NewTest, prevalence: float, explaining: float | None) -> list[float]:
    """Return the shares of positives at which F1 is expected, ascending where the user sets none."""
    multiples = sorted({min(prevalence * each, MAX_PREVALENCE) for each in MULTIPLES})
    shares = list(new.prevalences or multiples)
    if explaining is None or not 0 < explaining < 1:
        return shares
    return sorted([*shares, explaining])


def _f1(predicted: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    return float(2 * (predicted * truth).sum() / (predicted.sum() + truth.sum()))


def expected_calls(share: float, n_groups: int, n: int, level: float) -> tuple[int, int]:
    """Return the range of the number of calls among new images, if the share of positives is that out of fold.

    Args:
        share: of the images predicted positive out of fold.
        n_groups: out of fold, by whose number that share is uncertain.
        n: new images.
        level: of the range.

    >>> expected_calls(0.1, 1000, 100, 0.95)
    (4, 16)
    """
    error = norm.ppf((1 + level) / 2) * np.sqrt(share * (1 - share) * n * (1 + n / n_groups))
    return max(0, int(np.ceil(n * share - error))), min(n, int(np.floor(n * share + error)))


def explaining_prevalence(
    predicted: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], called: float
) -> float | None:
    """Return the share of positives at which a share of calls is expected (Rogan and Gladen, 1978).

    None where there is no such share from 0 to 1. Sensitivity and specificity are those out of fold.

    Args:
        predicted: ``(N,)`` whether each image out of fold is called, or in which share of several cross-fits.
        truth: ``(N,)`` whether it is positive.
        called: share of the test images.
    """
    sensitivity, false = predicted[truth].mean(), predicted[~truth].mean()
    if sensitivity <= false:
        return None
    share = float((called - false) / (sensitivity - false))
    return share if 0 <= share <= 1 else None


def change_error(n_changed: int, n_called: float, n_positive: float, f1: float) -> float:
    """Return the standard deviation of the change of F1 by changed labels that are no better and no worse than before.

    An image at the threshold of best F1 is positive with probability F1 / 2 (Lipton, Elkan and Naryanaswamy, 2014,
    "Optimal thresholding of classifiers to maximize F1 measure"). With changed labels of that kind, the number of true
    positives changes by a sum of so many draws, and F1 = 2 TP / (positives + called) by 2 / (positives + called) times
    that.

    Args:
        n_changed: labels that differ between two submissions, of the images that are scored.
        n_called: positive labels of them.
        n_positive: positives among these images, as far as is known.
        f1: about which it is.

    >>> round(change_error(4, 40, 30, 0.6), 4)
    0.0262
    """
    share = f1 / 2
    return float(2 * np.sqrt(n_changed * share * (1 - share)) / (n_called + n_positive))
