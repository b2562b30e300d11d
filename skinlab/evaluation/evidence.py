"""Everything that predictions say of one system, as plain numbers for ``evidence.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.bootstrap import LEVEL, N_DRAWS, Draws, Resampler, Statistic, bootstrap
from skinlab.evaluation.conformal import conformal_report
from skinlab.evaluation.curves import class_curves
from skinlab.evaluation.evidence_parts import calibrations, decision_curve_band, per_source, spread, worst_mistakes
from skinlab.evaluation.frozen_thresholds import FrozenThreshold
from skinlab.evaluation.metrics import Scorer
from skinlab.evaluation.operating import Choice, threshold_table
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.reliability import reliability
from skinlab.evaluation.thresholds import choose_threshold, f1_of_calls, optimism
from skinlab.evaluation.utility import npv_at_prevalence, ppv_at_prevalence, risk_coverage

FORMAT = 1
FEW_POSITIVES = 100


@dataclass(frozen=True)
class Asked:
    """What an evaluation is asked for; see ``conf/evaluate.yaml``."""

    positive: Sequence[str] | None = None
    prevalence: float | None = None
    rules: Sequence[str] = ()
    cost_ratio: float = 1.0
    cross_fit: bool = False
    calibration: bool = True
    frozen: Sequence[FrozenThreshold] = ()
    n_draws: int = N_DRAWS
    level: float = LEVEL
    seed: int = 0

    def binary_view(self, predictions: Predictions) -> Predictions | None:
        """Return the view of the positive classes, two classes being one already; None where there is none."""
        if len(predictions.classes) == 2 and list(self.positive or predictions.classes[1:]) == predictions.classes[1:]:
            return predictions
        return predictions.binary(self.positive) if self.positive else None


@dataclass(frozen=True)
class SystemEvidence:
    """The block of one system, with the draws that comparisons need and the thresholds to freeze."""

    block: dict[str, Any]
    draws: Draws
    thresholds: list[FrozenThreshold] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)


def system_evidence(
    name: str,
    tables: Sequence[Predictions],
    asked: Asked,
    *,
    selection: Predictions | None = None,
    over: str | None = None,
    keys: Sequence[int] = (),
    pooled: bool = False,
    names: tuple[str, str] = ("these rows", "other rows"),
    training_prior: Sequence[float] | None = None,
) -> SystemEvidence:
    """Compute the block of a system.

    Figures of several tables (seeds, or the folds' models on a test they share) are the mean over the tables, on the
    same draws; what is no mean (confusion, curves, thresholds) is of the first.

    Args:
        name: of the system.
        tables: predictions of the same rows in the same order.
        asked: what is wanted.
        selection: other rows of the first table's model, to choose thresholds on.
        over: what tells the tables apart, ``seed`` or ``fold``.
        keys: the seed or fold of each table.
        pooled: whether the rows are validation folds put together.
        names: what the rows and the selection are called.
        training_prior: shares of the classes that the probabilities are made for, if they differ from the rows'. A
            class without a share leaves no correction to the rows' shares.

    Raises:
        ValueError: what makes the rows unfit to be judged.
    """
    first = tables[0]
    _check(first, name)
    resampler = Resampler(first.group, first.target)
    draws = bootstrap(_mean_statistic(tables), resampler, n_draws=asked.n_draws, seed=asked.seed)
    prior = training_prior if training_prior is not None and min(training_prior) > 0 else None
    confidence, called = first.probabilities.max(1), first.probabilities.argmax(1)
    correct, n_classes = called == first.target, len(first.classes)
    confusion = np.bincount(first.target * n_classes + called, minlength=n_classes**2)
    block = {
        "name": name,
        "rows": len(first),
        "groups": len(np.unique(first.group.astype(str))),
        "support": dict(zip(first.classes, np.bincount(first.target, minlength=n_classes).tolist(), strict=True)),
        "pooled_folds": sorted({int(fold) for fold in first.fold}) if pooled else None,
        "figures": _intervals(draws, asked.level),
        "spread": spread(tables, over, keys, pooled=pooled),
        "confusion": confusion.reshape(n_classes, n_classes).tolist(),
        "per_source": per_source(first, level=asked.level, seed=asked.seed),
        "curves": _curves(first, resampler, asked),
        "reliability": reliability(confidence, correct, first.group),
        "calibration": calibrations(first, asked.seed, prior) if asked.calibration else None,
        "risk_coverage": risk_coverage(confidence, correct),
        "conformal": conformal_report(first.probabilities, first.target, first.group, first.classes, seed=asked.seed),
        "worst": worst_mistakes(first),
    }
    binary, thresholds = _binary_blocks(tables, selection, asked, pooled=pooled, names=names)
    cautions = [f"{name}: {text}" for text in binary.pop("cautions")]
    return SystemEvidence(block | binary, draws, thresholds, cautions)


def _curves(predictions: Predictions, resampler: Resampler, asked: Asked) -> dict[str, Any]:
    """Return the curves of every class, and of the positives together where a view of them is asked for."""
    curves = class_curves(predictions, resampler, level=asked.level, seed=asked.seed)
    view = predictions.binary(asked.positive) if asked.positive else None
    if view is not None and len(np.unique(view.target)) > 1:
        both = class_curves(view, Resampler(view.group, view.target), level=asked.level, seed=asked.seed)
        curves |= {name: curve for name, curve in both.items() if name == "positive"}
    return curves


def _check(predictions: Predictions, name: str) -> None:
    if len(set(predictions.group)) < 2:
        raise ValueError(f"{name}: all {len(predictions)} rows are one group; intervals need several lesions")
    present = np.unique(predictions.target)
    if len(present) < 2:
        only = predictions.classes[present[0]]
        raise ValueError(f"{name}: all {len(predictions)} rows are {only}; figures need rows of two classes or more")


def _intervals(draws: Draws, level: float) -> dict[str, dict[str, float]]:
    kept = {name: each for name, each in draws.intervals(level).items() if not name.startswith("support/")}
    return {name: each.to_dict() for name, each in kept.items()}


def _mean_statistic(tables: Sequence[Predictions]) -> Statistic:
    scorers = [Scorer(table.probabilities, table.target, table.classes) for table in tables]

    def statistic(weights: npt.NDArray[np.float64]) -> Mapping[str, npt.NDArray[np.float64]]:
        each = [scorer(weights) for scorer in scorers]
        return {name: np.mean([figures[name] for figures in each], axis=0) for name in each[0]}

    return statistic


def _binary_blocks(
    tables: Sequence[Predictions],
    selection: Predictions | None,
    asked: Asked,
    *,
    pooled: bool,
    names: tuple[str, str],
) -> tuple[dict[str, Any], list[FrozenThreshold]]:
    """Return what belongs to the view of positives against the others, all None where there is none."""
    blocks: dict[str, Any] = {"binary": None, "thresholds": None, "optimism": None, "decision_curve": None}
    views = [view for table in tables if (view := asked.binary_view(table)) is not None]
    if not views:
        return blocks | {"cautions": []}, []
    view = views[0]
    cautions: list[str] = []
    positive = list(asked.positive or view.classes[1:])
    if len(np.unique(view.target)) < 2:
        which = "Every image" if view.target[0] else "No image"
        unknown = "sensitivity, specificity, thresholds and the decision curve are not judged"
        return blocks | {"cautions": [f"{which} is positive ({', '.join(positive)}): {unknown}."]}, []
    truth, score = view.target == 1, view.probabilities[:, 1]
    resampler = Resampler(view.group, view.target)
    draws = bootstrap(_mean_statistic(views), resampler, n_draws=asked.n_draws, seed=asked.seed)
    blocks["binary"] = {
        "positive": positive,
        "figures": _intervals(_at_prevalence(draws, asked.prevalence), asked.level),
    }
    blocks["decision_curve"] = decision_curve_band(score, truth, resampler, level=asked.level, seed=asked.seed)
    chosen_on = None if selection is None else asked.binary_view(selection)
    thresholds: list[FrozenThreshold] = []
    if chosen_on is not None or pooled or asked.cross_fit or asked.frozen:
        try:
            found, thresholds = _threshold_blocks(view, None if asked.cross_fit else chosen_on, asked, names, cautions)
        except ValueError as error:
            if asked.frozen:
                raise
            place = names[0] if asked.cross_fit or chosen_on is None else names[1]
            cautions.append(f"No threshold for {', '.join(positive)} was chosen on {place}: {error}.")
        else:
            blocks |= found
    elif asked.rules:
        cautions.append(
            "No threshold was chosen: there are no other images to choose it on, and a threshold chosen on the images "
            "it is reported on is optimistic; set cross_fit=true, or give a run with validation images."
        )
    return blocks | {"cautions": cautions}, thresholds


def _threshold_blocks(
    view: Predictions, chosen_on: Predictions | None, asked: Asked, names: tuple[str, str], cautions: list[str]
) -> tuple[dict[str, Any], list[FrozenThreshold]]:
    """Return ``thresholds`` and ``optimism``, and the thresholds to freeze; add to the cautions.

    Raises:
        ValueError: the images that a threshold is to be chosen on don't allow it.
    """
    choice = Choice(asked.rules, asked.cost_ratio, asked.frozen, asked.prevalence, asked.seed, asked.positive or ())
    table, thresholds = threshold_table(view, chosen_on, choice, names=names, n_draws=asked.n_draws, level=asked.level)
    uncertain = [each for each in table if each["positives"] < FEW_POSITIVES]
    if uncertain:
        spans = [f"{row['rule']} {row['threshold']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for row in uncertain]
        cautions.append(
            f"Thresholds chosen on {uncertain[0]['positives']} positives are uncertain (95% intervals): "
            f"{', '.join(spans)}."
        )
    if "f1" not in asked.rules or asked.frozen:
        return {"thresholds": table}, thresholds
    found = _optimism(view, chosen_on, asked.seed)
    cautions.append(
        "Choosing the threshold of best F1 on the rows it is reported on would have shown "
        "{same_rows:.3f} where the F1 is {honest:.3f} at a threshold {how}.".format(**found)
    )
    return {"thresholds": table, "optimism": found}, thresholds


def _optimism(view: Predictions, selection: Predictions | None, seed: int) -> dict[str, Any]:
    """Return the F1 at a threshold of best F1 chosen on the very rows, and at one chosen elsewhere."""
    truth, score = view.target == 1, view.probabilities[:, 1]
    if selection is None:
        found = optimism(score, truth, view.group, "f1", seed=seed)
        figures = {"same_rows": found.same_rows, "honest": found.cross_fitted, "how": "chosen on other lesions' rows"}
    else:
        own = choose_threshold(score, truth, "f1")
        other = choose_threshold(selection.probabilities[:, 1], selection.target == 1, "f1")
        same_rows, honest = (f1_of_calls(score >= threshold, truth) for threshold in (own, other))
        figures = {"same_rows": same_rows, "honest": honest, "how": "chosen on validation rows"}
    return {"rule": "f1"} | figures


def _at_prevalence(draws: Draws, prevalence: float | None) -> Draws:
    """Re-weight PPV and NPV of the binary view to another share of positives."""
    if prevalence is None:
        return draws

    def shifted(values: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
        rates = values["sensitivity"], values["specificity"]
        return {
            **values,
            "ppv": ppv_at_prevalence(*rates, prevalence),
            "npv": npv_at_prevalence(*rates, prevalence),
        }

    estimate = shifted({name: np.asarray(value) for name, value in draws.estimate.items()})
    return Draws(
        {k: float(v) for k, v in estimate.items()}, shifted(draws.values), shifted(draws.left_out), draws.samples
    )
