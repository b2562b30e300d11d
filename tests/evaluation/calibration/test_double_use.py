"""The loss of coverage and sensitivity by choosing on the images of a calibrator's fit; cross-fitting prevents it."""

import numpy as np
import pytest
from scipy.special import softmax

from skinlab.evaluation.calibration.calibrators import cross_fit, fit_calibrator
from skinlab.evaluation.calibration.conformal import conformal_sets, conformal_thresholds, groups_needed
from skinlab.evaluation.thresholds.choice import choose_threshold

SHARES = np.array([0.05, 0.08, 0.12, 0.03, 0.12, 0.58, 0.02])  # of seven classes, about as in HAM10000
POSITIVE = [0, 1, 4]
N_STUDIES = 60


def draw(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return overconfident probabilities ``(n, 7)`` and classes, with two images of each class at least."""
    target = np.r_[np.repeat(np.arange(7), 2), rng.choice(7, size=n - 14, p=SHARES)]
    logits = rng.normal(size=(n, 7)) + np.log(SHARES)
    logits[np.arange(n), target] += 1.8
    return softmax(2 * logits, axis=1), target


def reached(method: str, n: int = 200) -> dict[str, np.ndarray]:
    """Return coverage of a class (90 %) and sensitivity (of ``sensitivity>=0.9``) on new images, by rows of choice."""
    rng = np.random.default_rng(0)
    new, truth = draw(4000, rng)
    found: dict[str, list[tuple[float, float]]] = {"same": [], "cross-fitted": []}
    for _ in range(N_STUDIES):
        p, target = draw(n, rng)
        calibrator = fit_calibrator(method, p, target)
        calibrated, enough = calibrator(new), np.bincount(target, minlength=7) >= groups_needed(0.9)
        for kind, rows in (("same", calibrator(p)), ("cross-fitted", cross_fit(method, p, target, np.arange(n)))):
            held = conformal_sets(calibrated, conformal_thresholds(rows, target))[np.arange(len(truth)), truth]
            coverage = np.mean([held[truth == c].mean() for c in np.flatnonzero(enough)])
            score, positive = rows[:, POSITIVE].sum(1), np.isin(target, POSITIVE)
            threshold = choose_threshold(score, positive, "sensitivity>=0.9")
            sensitivity = (calibrated[:, POSITIVE].sum(1) >= threshold)[np.isin(truth, POSITIVE)].mean()
            found[kind].append((float(coverage), float(sensitivity)))
    return {kind: np.mean(each, axis=0) for kind, each in found.items()}


@pytest.mark.slow
def test_cross_fitting_keeps_the_promise_that_double_use_breaks():
    """Without a calibrator: coverage .916, sensitivity .886 (a threshold is a little optimistic by itself)."""
    none = reached("none")["same"]
    for method, loss in (("isotonic", 0.03), ("vector", 0.0)):
        found = reached(method)
        print(method, {kind: each.round(3).tolist() for kind, each in found.items()})
        same, cross_fitted = found["same"], found["cross-fitted"]
        assert (cross_fitted > same + loss).all()
        assert cross_fitted[0] > 0.9
        assert cross_fitted[1] > none[1] - 0.015
    assert reached("isotonic")["same"][0] < 0.9
