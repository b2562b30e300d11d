import numpy as np
import pandas as pd
import pytest

from skinlab.evaluation.predictions import predictions_table, table_arrays


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "path": ["", "", ""],
            "label": ["mel", "", "nv"],
            "group": ["g", "g", "h"],
            "source": "",
            "split": "test",
            "fold": -1,
        }
    )


def test_round_trip():
    p = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    table = predictions_table(rows(), p, ["nv", "mel"])
    assert list(table) == ["image_id", "group", "source", "fold", "split", "label", "prob_nv", "prob_mel"]
    back, target, classes = table_arrays(table)
    assert np.array_equal(back, p)
    assert target.tolist() == [1, -1, 0]
    assert classes == ["nv", "mel"]


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="3 rows"):
        predictions_table(rows(), np.ones((2, 2)), ["nv", "mel"])
