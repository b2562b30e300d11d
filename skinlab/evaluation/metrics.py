"""The project's one definition of every figure, from class probabilities and true classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.ranking import Ranking
from skinlab.evaluation.recalibration import slope_and_intercept

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOWER_IS_BETTER = ("log_loss", "brier", "ece", "adaptive_ece")
WITHOUT_DIRECTION = ("calibration_slope", "calibration_intercept", "support")  # no value is better for being larger
N_BINS = 15
LEAST = float(np.finfo(np.float32).tiny)  # a probability of zero counts as this in a logarithm


def direction(metric: str) -> str | None:
    """Return whether a metric is better the smaller (``min``) or the larger (``max``); None where neither is true.

    >>> direction("brier"), direction("pr_auc/mel"), direction("calibration_slope/mel")
    ('min', 'max', None)
    """
    if metric.partition("/")[0] in WITHOUT_DIRECTION:
        return None
    return "min" if metric in LOWER_IS_BETTER else "max"


def bounds(figure: str) -> tuple[float, float]:
    """Return the least and the greatest value that a figure can have.

    >>> bounds("auroc_macro"), bounds("log_loss"), bounds("calibration_slope/mel")
    ((0.0, 1.0), (0.0, inf), (-inf, inf))
    """
    name = figure.partition("/")[0]
    special = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0)} | dict.fromkeys(("log_loss", "support"), (0.0, np.inf))
    return (-np.inf, np.inf) if name.startswith("calibration_") else special.get(name, (0.0, 1.0))


def classification_metrics(
    probabilities: Floats, target: Ints, classes: Sequence[str], positive: str | None = None
) -> dict[str, float]:
    """Return name → figure for one table of predictions, see :class:`Scorer`.

    Raises:
        ValueError: no rows, or the shapes don't agree.

    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    >>> round(classification_metrics(p, np.array([0, 1, 0]), ["nv", "mel"])["balanced_accuracy"], 2)
    0.75
    """
    figures = Scorer(probabilities, target, classes, positive)(np.ones((len(target), 1)))
    return {name: float(value[0]) for name, value in figures.items()}


class Scorer:
    """Every figure of a table of predictions, under many weightings of its rows at once.

    What is a mean over rows becomes one matrix product, what needs an order is sorted once, so that two thousand
    bootstrap draws cost seconds. With integer weights a figure is that of the table with each row so often in it.

    - Calls are the most probable class (the first of equals).
    - Macro figures average over the classes that have rows (support), so that a table without a rare class is not
      punished for it. A figure without meaning is NaN: of an absent class, a precision where nothing was called.
    - ``pr_auc`` is the average precision (a step function, not the trapezoid), ``auroc`` is one-vs-rest,
      ``partial_auroc`` the area above 80 % sensitivity, at most 0.2 (ISIC 2024).
    - ``mcc`` is Gorodkin's (2004) for any number of classes, 0 where one class alone is called or true.
    - ``brier`` is the sum over classes of squared errors, 0 to 2 (Brier, 1950). ``ece`` has 15 equal bins (Guo et al.,
      2017), ``adaptive_ece`` 15 bins of equal rows in the table as it is (Nguyen and O'Connor, 2015), which the
      weightings share.
    - ``calibration_slope`` and ``calibration_intercept`` of a class are those of a logistic regression of the truth on
      the logit of its probability, the intercept with the slope held at 1 (Cox, 1958; Van Calster et al., 2016). A
      weighting's are one Newton step from the table's own.

    Args:
        probabilities: ``(N, C)``, rows sum to one.
        target: ``(N,)`` true class numbers.
        classes: C class names.
        positive: the positive one of two classes; the last if left out.

    Raises:
        ValueError: no rows, or the shapes don't agree.
    """

    def __init__(
        self, probabilities: Floats, target: Ints, classes: Sequence[str], positive: str | None = None
    ) -> None:
        n, c = probabilities.shape
        if n == 0 or target.shape != (n,) or c != len(classes):
            raise ValueError(
                f"{n} rows x {c} classes of probabilities, {len(target)} targets, {len(classes)} class names"
            )
        self.classes = list(classes)
        self.positive = self.classes.index(positive) if positive else c - 1
        one_hot = (target[:, None] == np.arange(c)).astype(np.float64)
        self.rankings = [Ranking(probabilities[:, i], one_hot[:, i] > 0) for i in range(c)]
        called, confidence = probabilities.argmax(1), probabilities.max(1)
        gap = confidence - (called == target)
        edges = np.quantile(confidence, np.linspace(0, 1, N_BINS + 1)[1:-1])
        fits = [slope_and_intercept(probabilities[:, i], one_hot[:, i]) for i in range(c)]
        self.recalibrations = {
            "calibration_slope": [slope for slope, _ in fits],
            "calibration_intercept": [intercept for _, intercept in fits],
        }
        self.rows = {  # what is summed over the rows, each (K, N)
            "confusion": _spread(target * c + called, np.ones(n), c * c),
            "brier": ((probabilities - one_hot) ** 2).sum(1)[None],
            "log_loss": -np.log(np.maximum(probabilities[np.arange(n), target], LEAST))[None],
            "ece": _spread(_equal_width(confidence), gap, N_BINS),
            "adaptive_ece": _spread(np.searchsorted(edges, confidence, side="left"), gap, N_BINS),
        }
        for name, each in self.recalibrations.items():
            self.rows[name] = np.concatenate([fit.rows for fit in each])
        self.stacked = np.concatenate(list(self.rows.values()))

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the rows."""
        ends = np.cumsum([len(rows) for rows in self.rows.values()])
        sums = dict(zip(self.rows, np.split(self.stacked @ weights, ends[:-1]), strict=True))
        total, c = weights.sum(0), len(self.classes)
        with np.errstate(invalid="ignore", divide="ignore"):
            figures = _from_confusion(sums["confusion"].reshape(c, c, -1), self.classes, self.positive)
            curves = [ranking.curve(weights) for ranking in self.rankings]
            ranked = {
                "pr_auc": np.array([curve.average_precision() for curve in curves]),
                "auroc": np.array([curve.auroc() for curve in curves]),
                "partial_auroc": np.array([curve.partial_auroc() for curve in curves]),
            }
            figures |= {f"{name}_macro": _mean(values) for name, values in ranked.items()}
            figures |= {name: sums[name][0] / total for name in ("brier", "log_loss")}
            figures |= {name: np.abs(sums[name]).sum(0) / total for name in ("ece", "adaptive_ece")}
            for name, each in self.recalibrations.items():
                parts = np.split(sums[name], c)
                ranked[name] = np.array([fit.step(part) for fit, part in zip(each, parts, strict=True)])
        if c == 2:
            figures["pr_auc_positive"] = ranked["pr_auc"][self.positive]
        return figures | {
            f"{name}/{cls}": values[i] for name, values in ranked.items() for i, cls in enumerate(self.classes)
        }


def _equal_width(confidence: Floats) -> Ints:
    return np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)


def _spread(bin_of_row: Ints, value: Floats, n_bins: int) -> Floats:
    """Return ``(n_bins, N)`` with each row's value in its bin."""
    rows = np.zeros((n_bins, len(value)))
    rows[bin_of_row, np.arange(len(value))] = value
    return rows


def _mean(values: Floats) -> Floats:
    """Average over the first axis what is not NaN; NaN where nothing is."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(0) / known.sum(0))


def _from_confusion(confusion: Floats, classes: Sequence[str], positive: int) -> dict[str, Floats]:
    """Return the figures of calls from ``(C, C, B)`` counts, truth by called."""
    support, predicted = confusion.sum(1), confusion.sum(0)
    hits = np.einsum("iib->ib", confusion)
    total = support.sum(0)
    false_alarms = predicted - hits
    per_class = {
        "f1": np.where(support > 0, 2 * hits / (support + predicted), np.nan),
        "recall": hits / support,
        "specificity": 1 - false_alarms / (total - support),
        "precision": hits / predicted,
        "npv": (total - support - false_alarms) / (total - predicted),
        "support": support,
    }
    spread = np.sqrt((total**2 - (predicted**2).sum(0)) * (total**2 - (support**2).sum(0)))
    figures = {
        "balanced_accuracy": _mean(per_class["recall"]),
        "accuracy": hits.sum(0) / total,
        "f1_macro": _mean(per_class["f1"]),
        "mcc": np.where(spread > 0, (hits.sum(0) * total - (predicted * support).sum(0)) / spread, 0),
    }
    if len(classes) == 2:
        figures |= {
            "f1_positive": per_class["f1"][positive],
            "sensitivity": per_class["recall"][positive],
            "specificity": per_class["recall"][1 - positive],
            "ppv": per_class["precision"][positive],
            "npv": per_class["npv"][positive],
        }
    return figures | {f"{name}/{cls}": v[i] for name, v in per_class.items() for i, cls in enumerate(classes)}
