from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.thresholds.operating import (
    BinaryPredictions,
    ThresholdSettings,
    frozen_cautions,
    threshold_table,
)


def rows(n: int = 300, seed: int = 0, prefix: str = "i", positives: float = 0.2) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < positives
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + 2 * truth - 1)))
    ids = np.array([f"{prefix}{i}" for i in range(n)], object)
    empty, fold = np.full(n, "", object), np.full(n, -1)
    return Predictions(["o", "p"], np.stack([1 - p, p], 1), truth.astype(np.int64), ids, ids, empty, fold)


def test_calls_are_scikit_learn_s():
    view = rows()
    predicted, truth = view.probabilities[:, 1] > 0.4, view.target == 1
    found = {name: value[0] for name, value in BinaryPredictions(predicted, truth)(np.ones((len(truth), 1))).items()}
    assert found["sensitivity"] == pytest.approx(sk.recall_score(truth, predicted))
    assert found["specificity"] == pytest.approx(sk.recall_score(~truth, ~predicted))
    assert found["ppv"] == pytest.approx(sk.precision_score(truth, predicted))
    assert found["npv"] == pytest.approx(sk.precision_score(~truth, ~predicted))
    assert found["f1_positive"] == pytest.approx(sk.f1_score(truth, predicted))
    own = BinaryPredictions(predicted, truth, prevalence=truth.mean())(np.ones((len(truth), 1)))
    assert own["ppv"][0] == pytest.approx(found["ppv"])  # the rows' own prevalence changes nothing


def test_chosen_on_one_set_and_applied_to_another():
    view, selection = rows(), rows(200, 1, "s")
    table, kept = threshold_table(
        view, selection, ThresholdSettings(["sensitivity>=0.9"]), names=("test", "val"), n_draws=200
    )
    assert table[0]["chosen_on"] == "val, 200 images"
    assert table[0]["applied_to"] == "test, 300 images"
    predicted = view.probabilities[:, 1] >= kept[0].threshold
    assert table[0]["sensitivity"]["value"] == predicted[view.target == 1].mean()
    assert table[0]["sensitivity"]["low"] < table[0]["sensitivity"]["value"] < table[0]["sensitivity"]["high"]
    again, _ = threshold_table(view, None, ThresholdSettings([], frozen=kept), names=("test", "val"), n_draws=200)
    assert again[0]["f1_positive"] == table[0]["f1_positive"]


def test_the_same_rows_are_refused_or_cross_fitted():
    view = rows(positives=0.1)
    table, kept = threshold_table(view, None, ThresholdSettings(["f1"]), names=("out of fold", "val"), n_draws=200)
    assert table[0]["applied_to"] == "cross-fitted"
    assert table[0]["chosen_on"] == "out of fold, 300 images"
    flattered = bootstrap(
        BinaryPredictions(kept[0](view.probabilities[:, 1]), view.target == 1), Resampler(view.group, view.target)
    )
    assert table[0]["f1_positive"]["value"] < flattered.estimate["f1_positive"]
    assert kept[0].positive == ["p"]
    with pytest.raises(ValueError, match=r"chosen on 300 of these 300 images .*first: image i0, the same image id"):
        threshold_table(view, None, ThresholdSettings([], frozen=kept), names=("test", "val"))
    with pytest.raises(ValueError, match="chosen on 200 of these 300 images"):
        threshold_table(view, view.take(np.arange(200)), ThresholdSettings(["f1"]), names=("test", "val"))


def test_thresholds_know_their_positive_classes_and_serve_no_others():
    view, selection = rows(), rows(200, 1, "s")
    names = ("test", "val")
    _, kept = threshold_table(
        view, selection, ThresholdSettings(["f1"], positive=["mel", "bcc"]), names=names, n_draws=100
    )
    assert kept[0].positive == ["mel", "bcc"]
    threshold_table(view, None, ThresholdSettings([], frozen=kept, positive=["bcc", "mel"]), names=names, n_draws=100)
    for other in (["mel"], ()):
        with pytest.raises(ValueError, match="was chosen for positive=mel,bcc"):
            threshold_table(view, None, ThresholdSettings([], frozen=kept, positive=other), names=names)


def test_a_frozen_cost_is_stated_at_the_ratio_that_it_was_chosen_with():
    view, selection = rows(300, 0), rows(300, 1, "v")
    names = ("test", "val")
    _, kept = threshold_table(view, selection, ThresholdSettings(["cost", "f1"], 20.0), names=names, n_draws=100)
    later = ThresholdSettings(frozen=kept, cost_ratio=2.0)
    (row, _), _ = threshold_table(view, None, later, names=names, n_draws=100)
    truth = view.target == 1
    called = BinaryPredictions(view.probabilities[:, 1] >= row["threshold"], truth, cost_ratio=20.0)
    assert row["cost"]["value"] == pytest.approx(called(np.ones((len(view), 1)))["cost"][0])
    assert row["cost_ratio"] == 20
    (told,) = frozen_cautions(later)
    assert "chosen with cost_ratio=20, at which its cost is stated; cost_ratio=2 is not used" in told
    assert frozen_cautions(replace(later, cost_ratio=20.0)) == []
    told = frozen_cautions(replace(later, cost_ratio=20.0, prevalence=0.02))
    assert [text.split(";")[0] for text in told] == [
        f"The threshold for {rule} was chosen for a prevalence of that of the images" for rule in ("cost", "f1")
    ]


def test_a_share_of_rows_that_few_cross_fits_predict_so_has_no_interval():
    """Three in ten cross-fits predict each row positive, so that none is by majority and the PPV is of no rows."""
    truth = np.arange(60) % 3 == 0
    groups = np.arange(60).astype(str).astype(object)
    samples = bootstrap(
        BinaryPredictions(np.full(60, 0.3), truth), Resampler(groups, truth.astype(np.int64), ["other", "positive"])
    )
    found = samples.intervals()["ppv"]
    assert found.value == pytest.approx(1 / 3)
    assert np.isnan(found.low)


def test_a_fixed_threshold_is_applied_as_it_is_without_other_rows():
    view, how = rows(), {"names": ("test", "val"), "n_draws": 100}
    table, kept = threshold_table(view, None, ThresholdSettings(["p>=0.3", "f1"]), **how)
    fixed, learned = table
    assert (fixed["applied_to"], learned["applied_to"]) == ("test, 300 images", "cross-fitted")
    assert (fixed["chosen_on"], fixed["positives"], fixed["low"]) == ("fixed beforehand", None, None)
    predicted, truth = view.probabilities[:, 1] >= 0.3, view.target == 1
    assert fixed["sensitivity"]["value"] == sk.recall_score(truth, predicted)
    assert fixed["ppv"]["value"] == pytest.approx(sk.precision_score(truth, predicted))
    again, _ = threshold_table(view, None, ThresholdSettings([], frozen=kept[:1]), **how)  # of the same images
    assert again[0]["sensitivity"] == fixed["sensitivity"]
    beside, _ = threshold_table(rows(300, 1, "n"), None, ThresholdSettings(["p>=0.2", "f1"], frozen=kept), **how)
    assert [row["rule"] for row in beside] == ["p>=0.3", "f1", "p>=0.2"]
