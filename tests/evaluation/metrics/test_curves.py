import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from skinlab.evaluation.metrics.curves import precision_recall_steps


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_area_under_the_stairs_is_the_average_precision(levels):
    rng = np.random.default_rng(levels)
    truth = rng.random(300) < 0.1
    scores = rng.integers(levels, size=300) / levels + 0.2 * truth
    recall, precision = precision_recall_steps(truth, scores)
    area = (np.diff(recall, prepend=0) * precision).sum()
    assert area == pytest.approx(average_precision_score(truth, scores))
    assert recall[-1] == 1
