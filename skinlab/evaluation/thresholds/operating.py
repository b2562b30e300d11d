"""Metrics of binary predictions at a threshold, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.form import Optimism, ThresholdRow
from skinlab.evaluation.evidence.interval_form import DecisionCounts
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import LEVEL, N_DRAWS, Resampler, bootstrap
from skinlab.evaluation.statistics.intervals import Interval
from skinlab.evaluation.thresholds.choice import (
    MIX_RULES,
    choose_threshold,
    is_fixed,
    positive_shares,
    repeated_thresholds,
)
from skinlab.evaluation.thresholds.frozen import (
    FrozenThreshold,
    fixed_threshold,
    freeze,
    refuse_other_positives,
    refuse_same_rows,
)
from skinlab.evaluation.thresholds.utility import (
    expected_cost,
    f1_at_prevalence,
    npv_at_prevalence,
    ppv_at_prevalence,
)

Floats = npt.NDArray[np.float64]


class BinaryPredictions:
    """Metrics of positive and negative predictions under many weightings of the images.

    Args:
        predicted: ``(N,)`` whether each row is predicted positive, or in which share of several cross-fits.
        truth: ``(N,)`` whether it is.
        prevalence: share of positives for PPV, NPV, F1 and cost; None: that of the rows.
        cost_ratio: what a missed positive costs in false positives.
    """

    def __init__(
        self,
        predicted: npt.NDArray[np.bool_] | Floats,
        truth: npt.NDArray[np.bool_],
        prevalence: float | None = None,
        cost_ratio: float = 1.0,
    ) -> None:
        share = np.asarray(predicted, np.float64)
        self.cells = np.stack([share * truth, share * ~truth, (1 - share) * truth, (1 - share) * ~truth])
        self.predicted, self.truth = share > 0.5, truth
        self.prevalence, self.cost_ratio = prevalence, cost_ratio

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)``."""
        tp, fp, fn, tn = self.cells @ weights
        with np.errstate(invalid="ignore", divide="ignore"):
            sensitivity, specificity = tp / (tp + fn), tn / (tn + fp)
            f1 = 2 * tp / (2 * tp + fp + fn)
            share = (tp + fn) / (tp + fp + fn + tn) if self.prevalence is None else self.prevalence
        if self.prevalence is not None:
            f1 = f1_at_prevalence(sensitivity, specificity, self.prevalence)
        return {
            "sensitivity": sensitivity,
            "specificity": specificity,
            "ppv": ppv_at_prevalence(sensitivity, specificity, share),
            "npv": npv_at_prevalence(sensitivity, specificity, share),
            "f1_positive": f1,
            "cost": expected_cost(sensitivity, specificity, share, self.cost_ratio),
        }

    def counts(self) -> DecisionCounts:
        """Return the decisions, counted; of several cross-fits their mean."""
        tp, fp, fn, tn = self.cells.sum(1).tolist()
        return {"found": tp, "missed": fn, "false_alarms": fp, "correctly_negative": tn}

    def shares(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Return name → the rows ``(N,)`` that a metric which is a share is taken over."""
        of_rows = {"ppv": self.predicted, "npv": ~self.predicted} if self.prevalence is None else {}
        return {"sensitivity": self.truth, "specificity": ~self.truth, **of_rows}

    def contributions(self) -> dict[str, Floats]:
        """Return name → ``(N,)`` what each row adds to sensitivity and specificity."""
        tp, _, _, tn = self.cells
        positives = max(self.truth.sum(), 1)
        return {"sensitivity": tp / positives, "specificity": tn / max(len(self.truth) - positives, 1)}


@dataclass(frozen=True)
class ThresholdSettings:
    """How thresholds are chosen.

    Attributes:
        rules: see :func:`skinlab.evaluation.thresholds.choice.choose_threshold`.
        cost_ratio: what a missed positive costs in false positives, for the rule ``cost``.
        frozen: thresholds chosen earlier, to be applied as they stand instead; rules ``p>=T`` count beside them.
        prevalence: share of positives that ``f1`` and ``cost`` are chosen for, and that PPV, NPV, F1 and cost are
            stated for; None: that of the rows.
        level: coverage of the intervals.
        seed: of bootstrap samples and folds.
        positive: the classes that the view's positives are; None: its own last class.
    """

    rules: Sequence[str] = ()
    cost_ratio: float = 1.0
    frozen: Sequence[FrozenThreshold] = ()
    prevalence: float | None = None
    level: float = LEVEL
    seed: int = 0
    positive: Sequence[str] | None = None


def threshold_table(
    view: Predictions,
    selection: Predictions | None,
    choice: ThresholdSettings,
    *,
    names: tuple[str, str],
    n_draws: int = N_DRAWS,
) -> tuple[list[ThresholdRow], list[FrozenThreshold]]:
    """Choose thresholds on one set of rows and compute their metrics on another.

    Without other rows the thresholds are cross-fitted: each row is predicted at a threshold chosen on other groups, in
    each of ten divisions into folds, and the metrics are those of the mean confusion matrix; the threshold that is
    frozen for later use is chosen on all rows. A fixed threshold is applied as it is, whatever other rows there are.

    Costs at a frozen threshold are those of the ratio that it was chosen with.

    Args:
        view: two classes, the last one positive; the rows that are reported.
        selection: the rows to choose on; None to cross-fit.
        choice: how.
        names: of the rows that are reported and of those chosen on.
        n_draws: bootstrap samples.

    Returns:
        A row of metrics a rule, and the thresholds for a file.

    Raises:
        ValueError: a rule is unknown, rows overlap, positives or negatives are missing, or frozen thresholds are for
            other positive classes.
    """
    learn_here = selection is None and not choice.frozen
    for each in choice.frozen:
        refuse_other_positives(each, choice.positive or view.classes[-1:])
    chosen_on = view if selection is None else selection
    if choice.frozen:
        thresholds = with_fixed(choice, view.classes[-1:])
    else:
        thresholds = freeze_thresholds(chosen_on, choice, names[not learn_here])
    truth, score = view.target == 1, view.probabilities[:, 1]
    resampler = Resampler(view.group, view.target, view.classes)
    table: list[ThresholdRow] = []
    for each in thresholds:
        cross_fit = learn_here and not is_fixed(each.rule)
        if not cross_fit:
            refuse_same_rows(each, view)
        predicted = positive_shares(score, row_thresholds(view, each, cross_fit=cross_fit, seed=choice.seed))
        statistic = BinaryPredictions(predicted, truth, choice.prevalence, each.cost_ratio)
        samples = bootstrap(statistic, resampler, n_draws=n_draws, seed=choice.seed)
        of_several = names[0].partition(", ")[2]  # trainings, such as mean of 3 seeds
        own = ", ".join(filter(None, ["cross-fitted", of_several])) if cross_fit else f"{names[0]}, {len(view)} images"
        row = _row(each, own, samples.intervals(choice.level))
        table.append({**row, "counts": statistic.counts()})
    return table, thresholds


def row_thresholds(view: Predictions, threshold: FrozenThreshold, *, cross_fit: bool, seed: int) -> Floats:
    """Return the thresholds that each row of a view is predicted at, ``(N, R)``: one, or those of ten cross-fits.

    Args:
        view: two classes, the last one positive.
        threshold: of the rule.
        cross_fit: whether the rule is chosen on these rows.
        seed: of the folds.
    """
    if not cross_fit or is_fixed(threshold.rule):
        return np.full((len(view), 1), threshold.threshold)
    rows = view.probabilities[:, 1], view.target == 1, view.group
    settings: dict[str, Any] = {"cost_ratio": threshold.cost_ratio, "prevalence": threshold.prevalence}
    return repeated_thresholds(*rows, threshold.rule, seed=seed, **settings)


def with_fixed(choice: ThresholdSettings, last: Sequence[str]) -> list[FrozenThreshold]:
    """Return the frozen thresholds and those of the rules ``p>=T``, for ``last`` where no class is positive."""
    frozen = list(choice.frozen)
    rules = [rule for rule in choice.rules if is_fixed(rule) and rule not in {each.rule for each in frozen}]
    return frozen + [fixed_threshold(rule, choice.positive or last, choice.cost_ratio) for rule in rules]


def frozen_cautions(choice: ThresholdSettings) -> list[str]:
    """Return a sentence for each setting that differs from that of frozen thresholds, which goes by theirs."""
    found = []
    for each in choice.frozen:
        if each.rule == "cost" and each.cost_ratio != choice.cost_ratio:
            found.append(
                f"The threshold for cost was chosen with cost_ratio={each.cost_ratio:g}, at which its cost is stated; "
                f"cost_ratio={choice.cost_ratio:g} is not used for it."
            )
        if each.rule in MIX_RULES and each.prevalence != choice.prevalence:
            chosen, stated = (
                "that of the images" if share is None else f"{share:g}"
                for share in (each.prevalence, choice.prevalence)
            )
            found.append(
                f"The threshold for {each.rule} was chosen for a prevalence of {chosen}; its PPV, NPV, F1 and cost are "
                f"stated for {stated}."
            )
    return found


def _row(threshold: FrozenThreshold, applied_to: str, intervals: Mapping[str, Interval]) -> ThresholdRow:
    names = ("rule", "threshold", "low", "high", "positives", "chosen_on", "prevalence", "cost_ratio")
    row = {name: getattr(threshold, name) for name in names} | {"applied_to": applied_to}
    return cast("ThresholdRow", row | {name: each.to_dict() for name, each in intervals.items()})


def optimism(view: Predictions, row: ThresholdRow, choice: ThresholdSettings, how: str) -> Optimism:
    """Return the F1 at a threshold chosen on the reported rows themselves, beside that of a row of the table.

    Args:
        view: the rows that are reported.
        row: of the rule ``f1``, chosen on other rows.
        choice: how it was chosen.
        how: where, in words.
    """
    truth, score = view.target == 1, view.probabilities[:, 1]
    predicted = score >= choose_threshold(score, truth, "f1", prevalence=choice.prevalence)
    same = BinaryPredictions(predicted, truth, choice.prevalence)(np.ones((len(view), 1)))["f1_positive"]
    return {"rule": "f1", "same_rows": float(same[0]), "held_out": row["f1_positive"]["value"], "how": how}


def freeze_thresholds(view: Predictions, choice: ThresholdSettings, name: str) -> list[FrozenThreshold]:
    """Return the threshold of each rule, chosen on a view's rows; ``name`` names them in the record."""
    settings: dict[str, Any] = {name: getattr(choice, name) for name in ("cost_ratio", "level", "prevalence")}
    settings |= {"chosen_on": f"{name}, {len(view)} images", "positive": choice.positive or view.classes[-1:]}
    return [freeze(view, rule, **settings) for rule in choice.rules]
