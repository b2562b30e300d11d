"""Differences of net benefit: identities with the decision curve, and intervals that cover."""

from dataclasses import replace

import numpy as np
import pytest

from skinlab.evaluation.evidence.calibration import decision_curve_band
from skinlab.evaluation.evidence.net_benefit import BinaryViews, NetBenefitSettings, compare_net_benefit
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import Resampler
from skinlab.evaluation.statistics.trainings import Replicates
from skinlab.evaluation.thresholds.utility import decision_curve

HOW = NetBenefitSettings([0.1, 0.3])


def rows(seed: int = 0, n: int = 300, noise: float = 0.5) -> tuple[Predictions, Predictions]:
    """Two systems on the same lesions: calibrated probabilities, and the same with noise on the logit."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-1.5, 1.5, n)
    truth = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    ids = np.arange(n).astype(str).astype(object)

    def view(logit):
        p = 1 / (1 + np.exp(-logit))
        return Predictions(["other", "positive"], np.stack([1 - p, p], 1), truth, ids, ids, ids, np.full(n, -1))

    return view(logit), view(logit + noise * rng.normal(size=n))


def named(*views):
    return [(f"s{i}", BinaryViews([view])) for i, view in enumerate(views)]


@pytest.mark.parametrize("prevalence", [None, 0.05])
def test_a_difference_is_that_of_the_decision_curves(prevalence):
    views = rows()
    found = compare_net_benefit(named(*views), replace(HOW, prevalence=prevalence))
    curves = [
        decision_curve_band(v, Resampler(v.group, v.target), level=0.95, seed=0, prevalence=prevalence) for v in views
    ]
    for row in found["differences"]:
        at = curves[0]["threshold"].index(row["threshold"])
        for kind, key in (("net_benefit", "difference"), ("calibrated", "calibrated")):
            expected = curves[1][kind][at] - curves[0][kind][at]
            assert row[key]["value"] == pytest.approx(expected, abs=2e-6)
            assert row[key]["low"] <= row[key]["value"] <= row[key]["high"]


def test_a_system_does_not_differ_from_itself():
    view, _ = rows()
    found = compare_net_benefit(named(view, view), HOW)
    assert [row["difference"]["value"] for row in found["differences"]] == [0, 0]
    assert all("no variation" in row["calibrated"]["note"] for row in found["differences"])


def test_pairing_makes_the_interval_narrower_than_those_of_the_curves():
    views = rows()
    row = compare_net_benefit(named(*views), HOW)["differences"][0]
    bands = [decision_curve_band(view, Resampler(view.group, view.target), level=0.95, seed=0) for view in views]
    at = bands[0]["threshold"].index(0.1)
    single = min(band["high"][at] - band["low"][at] for band in bands)
    assert row["difference"]["high"] - row["difference"]["low"] < single / 2


def test_several_trainings_count():
    first, second = rows()
    pair = Replicates("seed", [0, 1])
    seeds = [("a", BinaryViews([first, second], pair)), ("b", BinaryViews([first, first], pair))]
    alone = compare_net_benefit(named(first, second), HOW)["differences"][0]["difference"]
    both = compare_net_benefit(seeds, HOW)["differences"][0]["difference"]
    assert both["value"] == pytest.approx(-alone["value"] / 2)
    assert both["high"] - both["low"] > alone["high"] - alone["low"]


def test_the_sentence_names_the_prevalence_the_thresholds_and_the_calibration():
    (sentence,) = compare_net_benefit(named(*rows()), replace(HOW, prevalence=0.05))["sentences"]
    assert sentence.startswith(
        "Net benefit of s1 minus s0 (after calibration, prevalence 5.0%; each interval counts alone)"
    )
    assert "] at p ≥ 0.1, " in sentence
    (sentence,) = compare_net_benefit(named(*rows()), replace(HOW, calibration=False))["sentences"]
    assert "calibration" not in sentence
    assert "prevalence as in the images" in sentence


def test_a_reference_limits_the_pairs_and_few_groups_or_thresholds_end_it():
    view, other = rows()
    three = named(view, other, view)
    assert {
        (row["a"], row["b"]) for row in compare_net_benefit(three, replace(HOW, reference="s0"))["differences"]
    } == {
        ("s1", "s0"),
        ("s2", "s0"),
    }
    assert compare_net_benefit(three, replace(HOW, thresholds=[])) is None
    assert compare_net_benefit(named(view), HOW) is None
    few = np.r_[np.flatnonzero(view.target == 1)[:19], np.flatnonzero(view.target == 0)]
    row = compare_net_benefit(named(view.take(few), other.take(few)), HOW)["differences"][0]["difference"]
    assert np.isnan(row["low"])
    assert row["note"] == "no interval: 19 groups of positive, at least 20 are needed"
    none = np.flatnonzero(view.target == 0)
    assert compare_net_benefit(named(view.take(none), other.take(none)), HOW) is None


@pytest.mark.slow
def test_the_interval_covers():
    big = rows(99, 400_000)
    truth = np.subtract(
        *(decision_curve(v.probabilities[:, 1], v.target == 1, [0.1, 0.3]).net_benefit for v in big[::-1])
    )
    held = []
    for seed in range(300):
        found = compare_net_benefit(named(*rows(seed)), replace(HOW, calibration=False))["differences"]
        spans = [row["difference"] for row in found]
        held.append([span["low"] <= at <= span["high"] for span, at in zip(spans, truth, strict=True)])
    assert ((np.mean(held, 0) >= 0.91) & (np.mean(held, 0) <= 0.975)).all()  # error of 300 studies: 0.015
