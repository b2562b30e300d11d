"""The evidence of a rule for the called class: its metrics, and paired differences to the most probable class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from sklearn.metrics import confusion_matrix

from skinlab.evaluation.evidence.decision_form import DecisionEvidence
from skinlab.evaluation.metrics.operating_points import OF_CALLED, OF_POSITIVE
from skinlab.evaluation.metrics.registry import reported_metrics
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import LEVEL, N_DRAWS, BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.thresholds.decision import (
    DECIDE_BY,
    Decision,
    DecisionSettings,
    Ints,
    choose_decision,
    cross_fitted_calls,
)

NO_ROWS = (
    "No rule for the called class was chosen: there are no other images to choose it on, and one chosen on the images "
    "it is reported on is optimistic; cross-fit it, python -m skinlab.evaluate … "
    "cross_fit=true, or give a run with validation images."
)


def decision_evidence(
    rows: Predictions,
    selection: Predictions | None,
    settings: DecisionSettings,
    *,
    frozen: Decision | None = None,
    cross_fit: bool = False,
    names: tuple[str, str] = ("these images", "other images"),
    n_draws: int = N_DRAWS,
    level: float = LEVEL,
) -> tuple[DecisionEvidence | None, list[str]]:
    """Return the evidence of a rule, None for the most probable class, and a caution where no rule could be chosen.

    Args:
        rows: the predictions that are reported.
        selection: others of the same model, to choose on.
        settings: the rule.
        frozen: a rule chosen earlier, to be applied as it stands instead.
        cross_fit: whether the rule is chosen on the reported rows of other groups.
        names: of the rows and of the selection.
        n_draws: bootstrap samples.
        level: of the intervals.

    Raises:
        ValueError: the rule is none, or was chosen on these rows or for other classes.
    """
    if frozen is None and settings.rule == "argmax":
        return None, []
    applied_to = f"{names[0]}, {len(rows)} images"
    if frozen is None and settings.learns and (cross_fit or selection is None):
        if not cross_fit:
            return None, [NO_ROWS]
        decision, called = choose_decision(rows, settings, names[0]), cross_fitted_calls(rows, settings)
        applied_to = f"cross-fitted, {len(rows)} images"
    else:
        chosen_on = selection if selection is not None else rows
        decision = frozen or choose_decision(chosen_on, settings, names[1])
        decision.refuse_same_rows(rows)
        called = decision(rows.probabilities, rows.classes)
    argmax = rows.probabilities.argmax(1)
    own, plain = (_samples(rows, each, n_draws, settings.seed) for each in (called, argmax))
    difference, compared = own.minus(plain), [*DECIDE_BY, *(f"recall/{name}" for name in rows.classes)]
    evidence: DecisionEvidence = {
        "rule": decision.rule,
        "decide_by": decision.decide_by,
        "classes": decision.classes,
        "weights": decision.weights,
        "power": decision.power,
        "chosen_on": decision.chosen_on,
        "applied_to": applied_to,
        "rows": decision.rows,
        "metrics": {name: each.to_dict() for name, each in own.intervals(level).items()},
        "differences": {name: difference.interval(name, level).to_dict() for name in compared},
        "confusion": confusion_matrix(rows.target, called, labels=range(len(rows.classes))).tolist(),
    }
    return evidence, []


def called_metrics(classes: Sequence[str]) -> list[str]:
    """Return the metrics that depend on the called class.

    Of two classes those of the positive one follow its threshold.

    >>> called_metrics(["nv", "mel"])[:5]
    ['balanced_accuracy', 'accuracy', 'f1_macro', 'mcc', 'recall/nv']
    """
    return [
        name for name in reported_metrics(classes) if name.partition("/")[0] in OF_CALLED and name not in OF_POSITIVE
    ]


def called_classes(rows: Predictions, evidence: DecisionEvidence, settings: DecisionSettings) -> Ints:
    """Return the called class of each row ``(N,)`` by a rule as it was applied: chosen on other groups, or as it is.

    Args:
        rows: the predictions that the evidence is of, or those of one of their trainings.
        evidence: of the rule.
        settings: it was chosen with.
    """
    if evidence["applied_to"].startswith("cross-fitted"):
        return cross_fitted_calls(rows, settings)
    names = [each.name for each in fields(Decision)]
    return Decision.from_dict({name: evidence.get(name) for name in names})(rows.probabilities, rows.classes)


def _samples(rows: Predictions, called: Ints, n_draws: int, seed: int) -> BootstrapSamples:
    """Return the bootstrap samples of the metrics of called classes ``(N,)``."""
    scorer = Scorer(np.eye(len(rows.classes))[called], rows.target, rows.classes, names=called_metrics(rows.classes))
    return bootstrap(scorer, Resampler(rows.group, rows.target, rows.classes), n_draws=n_draws, seed=seed)
