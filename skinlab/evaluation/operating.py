"""A threshold at work: what its calls are worth, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.bootstrap import LEVEL, N_DRAWS, Resampler, bootstrap
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds import FrozenThreshold, cross_fitted_calls, freeze, refuse_same_rows
from skinlab.evaluation.utility import npv_at_prevalence, ppv_at_prevalence

Floats = npt.NDArray[np.float64]


class Calls:
    """Figures of positive and negative calls under many weightings.

    Args:
        called: ``(N,)`` whether each row is called positive.
        truth: ``(N,)`` whether it is.
        prevalence: share of positives for PPV and NPV; None: that of the rows.
    """

    def __init__(
        self, called: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_], prevalence: float | None = None
    ) -> None:
        self.cells = np.stack([called & truth, called & ~truth, ~called & truth, ~called & ~truth]).astype(np.float64)
        self.prevalence = prevalence

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)``."""
        tp, fp, fn, tn = self.cells @ weights
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
            ppv, npv = tp / (tp + fp), tn / (tn + fn)
            if self.prevalence is not None:
                ppv = ppv_at_prevalence(sensitivity, specificity, self.prevalence)
                npv = npv_at_prevalence(sensitivity, specificity, self.prevalence)
            f1 = 2 * tp / (2 * tp + fp + fn)
        return {"sensitivity": sensitivity, "specificity": specificity, "ppv": ppv, "npv": npv, "f1_positive": f1}


@dataclass(frozen=True)
class Choice:
    """How thresholds are chosen.

    Attributes:
        rules: see :func:`skinlab.evaluation.thresholds.choose_threshold`.
        cost_ratio: what a missed positive costs in false calls, for the rule ``cost``.
        frozen: thresholds chosen earlier, to be applied as they stand instead.
        prevalence: share of positives for PPV and NPV; None: that of the rows.
        seed: of draws and folds.
    """

    rules: Sequence[str]
    cost_ratio: float = 1.0
    frozen: Sequence[FrozenThreshold] = ()
    prevalence: float | None = None
    seed: int = 0


def threshold_table(
    view: Predictions,
    selection: Predictions | None,
    choice: Choice,
    *,
    names: tuple[str, str],
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
) -> tuple[list[dict[str, Any]], list[FrozenThreshold]]:
    """Choose thresholds on one set of rows and tell what they are worth on another.

    Without other rows the thresholds are cross-fitted: each row is called at a threshold chosen on other groups; the
    one that is frozen for later use is chosen on all rows.

    Args:
        view: two classes, the last one positive; the rows that are reported.
        selection: the rows to choose on; None to cross-fit.
        choice: how.
        names: what the rows reported and those chosen on are called.
        n_draws: bootstrap draws.
        level: coverage.

    Returns:
        A row of figures a rule, and the thresholds for a file.

    Raises:
        ValueError: a rule is unknown, rows overlap, or positives or negatives are missing.
    """
    cross_fit = selection is None and not choice.frozen
    thresholds = list(choice.frozen) or _freeze(view if selection is None else selection, choice, names[not cross_fit])
    truth, score = view.target == 1, view.probabilities[:, 1]
    resampler = Resampler(view.group, view.target)
    if selection is not None and not choice.frozen:
        _refuse_shared_groups(view, selection, names)
    table = []
    for each in thresholds:
        if cross_fit:
            settings: dict[str, Any] = {"seed": choice.seed, "cost_ratio": choice.cost_ratio}
            called = cross_fitted_calls(score, truth, view.group, each.rule, **settings)
        else:
            refuse_same_rows(each, view.image_id)
            called = each(score)
        draws = bootstrap(Calls(called, truth, choice.prevalence), resampler, n_draws=n_draws, seed=choice.seed)
        facts = {key: getattr(each, key) for key in ("rule", "threshold", "low", "high", "positives", "chosen_on")}
        facts["applied_to"] = "cross-fitted" if cross_fit else f"{names[0]}, {len(view)} rows"
        table.append(facts | {name: value.to_dict() for name, value in draws.intervals(level).items()})
    return table, thresholds


def _freeze(rows: Predictions, choice: Choice, name: str) -> list[FrozenThreshold]:
    where = f"{name}, {len(rows)} rows"
    settings: dict[str, Any] = {"seed": choice.seed, "cost_ratio": choice.cost_ratio}
    score, truth = rows.probabilities[:, 1], rows.target == 1
    return [freeze(score, truth, rows.group, rows.image_id, rule, where, **settings) for rule in choice.rules]


def _refuse_shared_groups(view: Predictions, selection: Predictions, names: tuple[str, str]) -> None:
    shared = set(view.group) & set(selection.group)
    if shared:
        raise ValueError(
            f"group {sorted(map(str, shared))[0]} is in {names[0]} and in {names[1]}: thresholds must be chosen on "
            "other lesions than they are reported on; split by group"
        )
