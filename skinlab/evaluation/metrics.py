"""The project's one definition of every figure, from class probabilities and true classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def classification_metrics(probabilities: Floats, target: Ints, classes: Sequence[str]) -> dict[str, float]:
    """Return name → figure for one table of predictions.

    Macro figures average over the classes that have rows (support), so that a fold without a rare class is not
    punished for it. PR-AUC is the average precision (a step function, not the trapezoid); AUROC is one-vs-rest. With
    two classes the last one is the positive, called at a probability above one half.

    Args:
        probabilities: ``(N, C)``, rows sum to one.
        target: ``(N,)`` true class numbers.
        classes: C class names.

    Returns:
        ``balanced_accuracy``, ``accuracy``, ``f1_macro``, ``pr_auc_macro``, ``auroc_macro``, ``log_loss``, ``ece``,
        ``<figure>/<class>`` for pr_auc, auroc, f1, recall, precision and support, and for two classes
        ``f1_positive``, ``pr_auc_positive``, ``sensitivity``, ``specificity``. NaN where a figure has no meaning.

    Raises:
        ValueError: no rows, or the shapes don't agree.

    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    >>> round(classification_metrics(p, np.array([0, 1, 0]), ["nv", "mel"])["balanced_accuracy"], 2)
    0.75
    """
    n, c = probabilities.shape
    if n == 0 or target.shape != (n,) or c != len(classes):
        raise ValueError(f"{n} rows x {c} classes of probabilities, {len(target)} targets, {len(classes)} class names")
    confusion = confusion_matrix(target, probabilities.argmax(1), labels=range(c)).astype(float)
    support, predicted, hits = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / support
        precision = np.where(predicted > 0, hits / predicted, np.nan)
        f1 = np.where(support > 0, 2 * hits / (support + predicted), np.nan)
    one_vs_rest = target[:, None] == np.arange(c)
    ranked = (support > 0) & (support < n)
    pr_auc = np.array(
        [_or_nan(average_precision_score, one_vs_rest[:, i], probabilities[:, i], support[i] > 0) for i in range(c)]
    )
    auroc = np.array([_or_nan(roc_auc_score, one_vs_rest[:, i], probabilities[:, i], ranked[i]) for i in range(c)])
    likelihood = probabilities[np.arange(n), target]
    figures = {
        "balanced_accuracy": float(np.nanmean(recall)),
        "accuracy": float(hits.sum() / n),
        "f1_macro": float(np.nanmean(f1)),
        "pr_auc_macro": float(np.nanmean(pr_auc)),
        "auroc_macro": float(np.nanmean(auroc)) if ranked.any() else float("nan"),
        "log_loss": float(-np.log(np.clip(likelihood, np.finfo(np.float32).tiny, 1)).mean()),
        "ece": expected_calibration_error(probabilities.max(1), probabilities.argmax(1) == target),
    }
    if c == 2:
        figures |= {
            "f1_positive": float(f1[1]),
            "pr_auc_positive": float(pr_auc[1]),
            "sensitivity": float(recall[1]),
            "specificity": float(recall[0]),
        }
    columns = {"pr_auc": pr_auc, "auroc": auroc, "f1": f1, "recall": recall, "precision": precision, "support": support}
    return figures | {f"{name}/{cls}": float(v[i]) for name, v in columns.items() for i, cls in enumerate(classes)}


def _or_nan(score: object, truth: npt.NDArray[np.bool_], values: Floats, defined: bool) -> float:
    return float(score(truth, values)) if defined else float("nan")  # type: ignore[operator]


def expected_calibration_error(confidence: Floats, correct: npt.NDArray[np.bool_], n_bins: int = 15) -> float:
    """Return the mean distance of confidence and accuracy over equal-width bins (Guo et al., 2017).

    Args:
        confidence: ``(N,)`` probability of the class called.
        correct: ``(N,)`` whether the call was right.
        n_bins: number of bins on [0, 1].

    >>> expected_calibration_error(np.array([0.8, 0.8]), np.array([True, False]))
    0.3
    """
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gap = np.bincount(bins, weights=confidence - correct, minlength=n_bins)
    return float(round(np.abs(gap).sum() / len(confidence), 12))
