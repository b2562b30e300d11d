import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from skinlab.evaluation.metrics.curves import class_curves, precision_recall_steps
from skinlab.evaluation.statistics.bootstrap import Resampler
from tests.evaluation.evidence.test_system import rows


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_area_under_the_stairs_is_the_average_precision(levels):
    rng = np.random.default_rng(levels)
    truth = rng.random(300) < 0.1
    scores = rng.integers(levels, size=300) / levels + 0.2 * truth
    recall, precision = precision_recall_steps(truth, scores)
    area = (np.diff(recall, prepend=0) * precision).sum()
    assert area == pytest.approx(average_precision_score(truth, scores))
    assert recall[-1] == 1


def test_a_band_holds_the_curve_and_has_width_where_the_curve_is_at_one():
    table = rows(300)
    curves = class_curves(table, Resampler(table.group, table.target, table.classes))
    for name in table.classes:
        for curve in curves[name].values():
            x, y, low, high = (np.array(curve[key]) for key in ("x", "y", "low", "high"))
            assert ((low <= y) & (y <= high)).all()
            assert ((high - low)[(y == 1) & (x > 0.05)] > 0.01).all()
