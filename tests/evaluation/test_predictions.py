import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score, log_loss

from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import (
    as_written,
    predictions_table,
    probability_floor,
    table_arrays,
    to_predictions,
)


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "path": ["/1.jpg", "/2.jpg", ""],
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
    assert list(table) == ["image_id", "group", "source", "fold", "split", "label", "prob_nv", "prob_mel", "path"]
    back, target, classes = table_arrays(table)
    assert np.array_equal(back, p)
    assert target.tolist() == [1, -1, 0]
    assert classes == ["nv", "mel"]


def test_paths_travel_with_the_predictions():
    table = predictions_table(rows(), np.full((3, 2), 0.5), ["nv", "mel"])
    known = to_predictions(table[table["label"] != ""], "p.csv")
    assert known.path.tolist() == ["/1.jpg", ""]
    assert known.take(np.array([1, 0])).binary(["mel"]).path.tolist() == ["", "/1.jpg"]
    assert to_predictions(table[table["label"] != ""].drop(columns="path"), "p.csv").path.tolist() == ["", ""]


def test_wrong_numbers_are_refused():
    with pytest.raises(ValueError, match="3 rows"):
        predictions_table(rows(), np.ones((2, 2)), ["nv", "mel"])


def frame(**columns) -> pd.DataFrame:
    table = {"image_id": ["a", "b"], "label": ["nv", "mel"], "prob_nv": [0.9, 0.2], "prob_mel": [0.1, 0.8]} | columns
    return pd.DataFrame({name: values for name, values in table.items() if values is not None})


def test_a_table_needs_ids_labels_and_probabilities_only():
    found = to_predictions(frame(), "p.csv")
    assert found.classes == ["nv", "mel"]
    assert found.target.tolist() == [0, 1]
    assert found.group.tolist() == ["a", "b"]
    assert found.fold.tolist() == [-1, -1]
    assert to_predictions(frame(group=["g", ""]), "p.csv").group.tolist() == ["g", "b"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": ["nv", "df"]}, "label 'df' of image b is none of its classes nv, mel"),
        ({"label": ["nv", ""]}, r"1 of 2 rows has no label \(first: image b\)"),
        ({"label": None}, "no column label"),
        ({"image_id": None}, "no column image_id"),
        ({"prob_mel": [0.1, None]}, "image b has a probability that is no number"),
        ({"prob_mel": [0.1, "high"]}, "image b has a probability that is no number"),
        ({"prob_mel": [0.1, 3.0]}, r"image b are \[0.2, 3.0\] \(prob_nv, prob_mel\) and don't sum to one"),
        ({"prob_nv": [1.5, 0.2], "prob_mel": [-0.5, 0.8]}, "image a"),
        ({"prob_mel": None}, "no columns prob_<class>"),
    ],
)
def test_a_mistake_ends_in_one_line(columns, message):
    with pytest.raises(ValueError, match=rf"p\.csv.*{message}") as error:
        to_predictions(frame(**columns), "p.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("shares", "passes"), [([0.33] * 3, True), ([0.335] * 3, False), ([0.3, 0.3, 0.3], False)])
def test_rounding_may_keep_the_sum_from_one(shares, passes):
    table = frame(prob_nv=shares[0], prob_mel=shares[1], prob_df=shares[2])
    if not passes:
        with pytest.raises(ValueError, match="don't sum to one"):
            to_predictions(table, "p.csv")
    else:
        assert to_predictions(table, "p.csv").probabilities.tolist() == [shares] * 2  # as they are given


def test_the_binary_view_sums_the_positives():
    table = frame(label=["nv", "bcc"], prob_nv=[0.2, 0.1], prob_mel=[0.3, 0.8], prob_bcc=[0.5, 0.1])
    predictions = to_predictions(table, "p.csv")
    view = predictions.binary(["mel", "bcc"])
    assert view.classes == ["other", "positive"]
    assert np.allclose(view.probabilities, [[0.2, 0.8], [0.1, 0.9]])
    assert view.target.tolist() == [0, 1]
    for wrong in ([], ["mel", "x"], ["nv", "mel", "bcc"]):
        with pytest.raises(ValueError, match="positive="):
            predictions.binary(wrong)


def test_nine_significant_digits_tell_float32_numbers_apart():
    p = np.float32(0.1) + np.arange(50, dtype=np.float32) * np.finfo(np.float32).eps / 16
    p = np.r_[np.unique(p), np.float32(1e-30)]
    assert np.array_equal(as_written(p).astype(np.float32), p)
    assert as_written(as_written(p)).tolist() == as_written(p).tolist()


@pytest.mark.parametrize("n", range(1, 9))
def test_a_zero_of_a_rounded_table_counts_as_half_a_unit(n):
    p = np.random.default_rng(0).dirichlet(np.full(3, 0.2), 200).round(n)
    assert probability_floor(p) == pytest.approx(0.5 * 10.0**-n)


def test_other_tables_have_the_floor_of_scikit_learn():
    p = np.random.default_rng(0).dirichlet(np.full(3, 0.05), 300)
    p[:100] = [1, 0, 0]
    target = np.arange(300) % 3
    assert probability_floor(p) == probability_floor(np.eye(3)) == np.finfo(float).eps
    found = classification_metrics(p, target, ["a", "b", "c"], names=["log_loss"])["log_loss"]
    assert found == pytest.approx(log_loss(target, p), rel=1e-12)


def test_log_loss_of_a_rounded_table_is_about_that_of_the_exact_one():
    """Zeros of six decimals used to count as 87 nats each, which took a log-loss of .880 to 1.088."""
    rng = np.random.default_rng(0)
    logits, noise = rng.normal(size=(4000, 5)) * 8, rng.gumbel(size=(4000, 5)) * 3
    p, target = softmax(logits, axis=1), (logits + noise).argmax(1)

    def loss(probabilities):
        return classification_metrics(probabilities, target, list("abcde"), names=["log_loss"])["log_loss"]

    assert (p.round(6) == 0)[np.arange(4000), target].any()
    assert loss(p.round(6)) == pytest.approx(loss(p), rel=0.02)


def test_average_precision_is_scikit_learn_s_on_the_table_s_own_numbers():
    p = np.random.default_rng(1).dirichlet(np.ones(4), 500).round(2)  # rows of .99 or 1.01 are not scaled: ties stay
    target = np.random.default_rng(2).integers(4, size=500)
    table = pd.DataFrame(p, columns=[f"prob_{i}" for i in range(4)])
    table = table.assign(image_id=np.arange(500).astype(str), label=target.astype(str))
    read = to_predictions(table, "p.csv")
    found = classification_metrics(read.probabilities, read.target, read.classes)["pr_auc_macro"]
    assert found == pytest.approx(np.mean([average_precision_score(target == i, p[:, i]) for i in range(4)]), abs=1e-15)
