"""What a system's metrics will be on a new test set, as ``evidence.json`` has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skinlab.evaluation.evidence.expectation_form import Expectation
from skinlab.evaluation.evidence.interval_form import Metrics
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.expectation import NewSet, expect
from skinlab.evaluation.thresholds.choice import positive_shares
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import BinaryPredictions, row_thresholds

AT_THRESHOLD = ("sensitivity", "specificity", "ppv", "npv", "f1_positive")


def expectation(
    view: Predictions | None,
    thresholds: Sequence[FrozenThreshold],
    new: NewSet,
    *,
    cross_fitted: bool,
    n_draws: int,
    level: float,
    seed: int,
) -> Expectation:
    """Return what is expected on a new test set.

    Args:
        view: two classes, the last one positive; None where there are no positive classes.
        thresholds: of the system.
        new: the test set to come.
        cross_fitted: whether the thresholds were chosen on these rows, which are then predicted at those of others,
            as in the table of thresholds.
        n_draws: bootstrap samples.
        level: of the prediction intervals.
        seed: of the bootstrap samples and folds.

    Raises:
        ValueError: there are no positive classes, or not both positives and negatives.
    """
    if view is None or len(np.unique(view.target)) < 2:
        raise ValueError("expect= needs positives and negatives: name the positive classes, as in 'positive=[mel,bcc]'")
    truth, score = view.target == 1, view.probabilities[:, 1]

    def of(statistic: Scorer | BinaryPredictions, names: Sequence[str]) -> Metrics:
        found = expect(statistic, view.group, view.target, new, n_draws=n_draws, level=level, seed=seed)
        return {name: found[name].to_dict() for name in names if name in found}

    def calls(each: FrozenThreshold) -> BinaryPredictions:
        at = row_thresholds(view, each, cross_fit=cross_fitted, seed=seed)
        return BinaryPredictions(positive_shares(score, at), truth)

    ranking = (f"auroc/{view.classes[-1]}", "pr_auc_positive", "brier")  # what needs no threshold
    return {
        "n": new.n,
        "prevalence": new.prevalence,
        "metrics": of(Scorer(view.probabilities, view.target, view.classes), ranking),
        "at_thresholds": [
            {
                "rule": each.rule,
                "threshold": each.threshold,
                "metrics": of(calls(each), AT_THRESHOLD),
            }
            for each in thresholds
        ],
    }
