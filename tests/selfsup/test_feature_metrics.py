"""Spread, alignment and uniformity of features, and what collapse looks like."""

import math

import pytest
import torch
from lightly.utils.debug import std_of_l2_normalized

from skinlab.selfsup.collapse import collapsed
from skinlab.selfsup.feature_metrics import alignment, feature_metrics, feature_std, uniformity


@pytest.fixture
def features():
    return torch.randn(256, 64, generator=torch.Generator().manual_seed(0))


def test_spread_is_lightly_s(features):
    assert float(feature_std(features)) == pytest.approx(float(std_of_l2_normalized(features)))
    assert float(feature_std(features)) == pytest.approx(1 / math.sqrt(64), rel=0.02)


def test_alignment_is_wang_and_isola_s(features):
    first, second = (torch.nn.functional.normalize(f) for f in features.chunk(2))
    assert float(alignment(*features.chunk(2))) == pytest.approx(float((first - second).norm(dim=1).pow(2).mean()))
    assert float(alignment(features, 3 * features)) == pytest.approx(0, abs=1e-6)


def test_uniformity_is_wang_and_isola_s(features):
    unit = torch.nn.functional.normalize(features)
    published = torch.pdist(unit, p=2).pow(2).mul(-2).exp().mean().log()
    assert float(uniformity(features)) == pytest.approx(float(published), rel=1e-4)
    assert float(uniformity(torch.ones(8, 4))) == pytest.approx(0, abs=1e-6)


def test_metrics_are_in_full_precision_and_without_gradient(features):
    with torch.autocast("cpu", torch.bfloat16):
        metrics = feature_metrics([features.clone().requires_grad_(), features])
    assert {value.dtype for value in metrics.values()} == {torch.float32}
    assert not any(value.requires_grad for value in metrics.values())
    assert float(metrics["uniformity"]) == pytest.approx(float(uniformity(features)))


def test_collapse_is_distinguished_from_similar_features(features):
    n = features.shape[1]
    assert collapsed(float(feature_std(features)), n) is None
    assert collapsed(float(feature_std(features + 10)), n) is None
    assert "collapsed" in collapsed(float(feature_std(features * 1e-4 + 1)), n)
    assert "not finite" in collapsed(float("nan"), n)
    assert "\n" not in collapsed(0.0, n)
