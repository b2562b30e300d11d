import numpy as np
import pandas as pd
import pytest

from skinlab.evaluation.predictions import predictions_table, read_predictions, table_arrays


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


def write(path, **columns):
    frame = pd.DataFrame(
        {"image_id": ["a", "b"], "label": ["nv", "mel"], "prob_nv": [0.9, 0.2], "prob_mel": [0.1, 0.8]}
    )
    frame = frame.assign(**columns)
    frame[[name for name in frame if frame[name].notna().any()]].to_csv(path, index=False)
    return path


def test_a_stranger_s_table_is_read(tmp_path):
    found = read_predictions(write(tmp_path / "p.csv"))
    assert found.classes == ["nv", "mel"]
    assert found.target.tolist() == [0, 1]
    assert found.group.tolist() == ["a", "b"]
    assert found.fold.tolist() == [-1, -1]


def test_labels_come_from_another_table(tmp_path):
    truth = pd.DataFrame({"image_id": ["b", "c", "a"], "label": ["nv", "nv", "mel"], "group": ["g", "h", "g"]})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    found = read_predictions(write(tmp_path / "p.csv", label=None), labels=tmp_path / "truth.csv")
    assert found.target.tolist() == [1, 0]
    assert found.group.tolist() == ["g", "g"]
    truth[:1].to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(ValueError, match=r"lacks 1 of 2 images .* \(first: a\)"):
        read_predictions(tmp_path / "p.csv", labels=tmp_path / "truth.csv")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image_id": ["a", "a"]}, "image a has several rows"),
        ({"image_id": ["a", None]}, "row 3 has no image_id"),
        ({"label": ["nv", "df"]}, "label 'df' of image b is none of its classes nv, mel"),
        ({"label": ["nv", ""]}, r"1 of 2 rows have no label \(first: image b\)"),
        ({"label": None}, "no column label"),
        ({"prob_mel": [0.1, None]}, "image b has a probability that is no number"),
        ({"prob_mel": ["0.1", "high"]}, "image b has a probability that is no number"),
        ({"prob_mel": [0.1, 3.0]}, r"image b are \[0.2, 3.0\] and don't sum to one"),
        ({"prob_nv": [1.5, 0.2], "prob_mel": [-0.5, 0.8]}, "image a"),
        ({"prob_mel": None}, "no columns prob_<class>"),
        ({"image_id": None}, "no column image_id"),
    ],
)
def test_bad_tables_are_told_in_one_line(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message) as error:
        read_predictions(write(tmp_path / "p.csv", **columns))
    assert "\n" not in str(error.value)
    assert str(tmp_path / "p.csv") in str(error.value)


def test_no_file_no_table_no_rows(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_predictions(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "head.csv").write_text("image_id,label,prob_a,prob_b\n")
    for name in ("empty", "head"):
        with pytest.raises(ValueError, match=f"{name}.csv"):
            read_predictions(tmp_path / f"{name}.csv")


def test_the_binary_view_sums_the_positives(tmp_path):
    path = tmp_path / "p.csv"
    p = np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    frame = pd.DataFrame(p, columns=["prob_nv", "prob_mel", "prob_bcc"]).assign(
        image_id=["a", "b"], label=["nv", "bcc"]
    )
    frame.to_csv(path, index=False)
    view = read_predictions(path).binary(["mel", "bcc"])
    assert view.classes == ["other", "positive"]
    assert np.allclose(view.probabilities, [[0.2, 0.8], [0.1, 0.9]])
    assert view.target.tolist() == [0, 1]
    for wrong in ([], ["mel", "x"], ["nv", "mel", "bcc"]):
        with pytest.raises(ValueError, match="positive="):
            read_predictions(path).binary(wrong)
