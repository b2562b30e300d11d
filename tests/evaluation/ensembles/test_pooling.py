import numpy as np
import pytest

from skinlab.evaluation.ensembles.pooling import pool_folds
from skinlab.evaluation.predictions import Predictions


def table(ids: str, groups: str | None = None, classes: str = "ab") -> Predictions:
    n = len(ids)
    p = np.tile([0.3, 0.7], (n, 1))
    names, lesions = np.array(list(ids), object), np.array(list(groups or ids), object)
    return Predictions(
        list(classes), p, np.arange(n) % 2, names, lesions, np.full(n, "", object), np.zeros(n, np.int64)
    )


def test_every_row_once_with_its_fold():
    pooled = pool_folds([table("xy"), table("z")], [1, 0], n_folds=2, expected=list("xyz"))
    assert pooled.image_id.tolist() == ["x", "y", "z"]
    assert pooled.fold.tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("tables", "folds", "message"),
    [
        ([table("xy"), table("z")], [0, 0], "fold 0 several times"),
        ([table("xy")], [1], r"lacks fold 0 of 2; train it .*data.fold=0"),
        ([table("xy"), table("yz")], [0, 1], "image y is in the validation of fold 0 and fold 1"),
        ([table("xy", "gh"), table("z", "h")], [0, 1], "group h is in the validation of fold 0 and fold 1"),
        ([table("xy"), table("z", classes="ba")], [0, 1], "fold 1 has the classes b, a"),
        ([table("x"), table("z")], [0, 1], r"hold 2 images of 3 \(differs: y\)"),
    ],
)
def test_what_does_not_fit_is_refused(tables, folds, message):
    with pytest.raises(ValueError, match=message):
        pool_folds(tables, folds, n_folds=2, expected=list("xyz"))
