"""Detection agrees with scikit-learn's curve, and what nothing catches is flagged."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from skinlab.evaluation.shift.detection import FALSE_ALARMS, Detected, detect, flag_missed


def detected(shift: float, n_home: int = 400, n_foreign: int = 60, decimals: int = 8) -> tuple[Detected, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = np.round(np.append(rng.normal(0, 1, n_home), rng.normal(shift, 1, n_foreign)), decimals)
    groups = np.array([f"g{row // 2}" for row in range(len(scores))], object)
    home, foreign = scores[:n_home], scores[n_home:]
    return detect(home, groups[:n_home], foreign, groups[n_home:], level=0.95, seed=0), scores


@pytest.mark.parametrize("decimals", [8, 1])  # with many ties
@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_it_agrees_with_the_curve(shift: float, decimals: int):
    found, scores = detected(shift, decimals=decimals)
    truth = np.arange(len(scores)) >= 400
    alarms, caught, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found.auroc["value"] == pytest.approx(roc_auc_score(truth, scores))
    assert found.let_through["value"] == pytest.approx(1 - caught[alarms <= FALSE_ALARMS].max())
    for each in (found.auroc, found.let_through):
        assert (each["low"] or 0) <= (each["value"] or 0) <= (each["high"] or 0)


def test_what_nothing_catches_is_flagged():
    hidden, seen = detected(0)[0], detected(9)[0]
    kinds = {"noise": {"energy": hidden, "gate": seen}, "faces": {"energy": hidden, "gate": hidden}}
    (flag,) = flag_missed(kinds)
    assert flag["sentence"].startswith("Nothing catches faces 1.000 [")
    assert "the best of energy, gate at 1% false alarms at home" in flag["sentence"]
    assert flag_missed({"noise": kinds["noise"]}) == []
