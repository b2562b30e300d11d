import numpy as np
import pytest
from sklearn import metrics as sk

from skinlab.evaluation.metrics.ranking import Ranking


def scores(kind: str, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.random(n) < (0.02 if kind == "skewed" else 0.3)
    score = rng.normal(size=n) + truth
    if kind == "tied":
        score = np.round(score)
    if kind == "constant":
        score = np.zeros(n)
    return score, truth


KINDS = ("random", "tied", "constant", "skewed")


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_scikit_learn(kind):
    score, truth = scores(kind)
    curve = Ranking(score, truth).curve(np.ones((len(score), 1)))
    assert curve.average_precision()[0] == pytest.approx(sk.average_precision_score(truth, score), abs=1e-9)
    assert curve.auroc()[0] == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-9)
    # ISIC 2024's own recipe: turn classes and scores round, take scikit-learn's partial area, undo its scaling.
    scaled = sk.roc_auc_score(~truth, -score, max_fpr=0.2)
    assert curve.partial_auroc()[0] == pytest.approx(0.02 + (0.2 - 0.02) / 0.5 * (scaled - 0.5), abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("low", [0.05, 0.5, 0.9])
def test_the_mean_sensitivity_is_scikit_learns_partial_auc_over_its_width(kind, low):
    score, truth = scores(kind)
    curve = Ranking(score, truth).curve(np.ones((len(score), 1)))
    width = 1 - low
    scaled = sk.roc_auc_score(truth, score, max_fpr=width)
    area = width**2 / 2 + (2 * scaled - 1) * (width - width**2 / 2)
    assert curve.mean_sensitivity(low, 1)[0] == pytest.approx(area / width, abs=1e-9)
    parts = [curve.mean_sensitivity(*ends)[0] for ends in ((low, 0.95), (0.95, 1))]
    assert parts[0] * (0.95 - low) + parts[1] * 0.05 == pytest.approx(area, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ["average_precision", "auroc", "partial_auroc", "mean_sensitivity"])
def test_integer_weights_are_repeated_rows(kind, metric):
    score, truth = scores(kind)
    weights = np.random.default_rng(0).poisson(1, (len(score), 5)).astype(float)
    weights[truth.argmax()] = 1  # a positive in every draw
    ends = (0.8, 0.9) if metric == "mean_sensitivity" else ()
    together = getattr(Ranking(score, truth).curve(weights), metric)(*ends)
    for b in range(5):
        rows = np.repeat(np.arange(len(score)), weights[:, b].astype(int))
        alone = getattr(Ranking(score[rows], truth[rows]).curve(np.ones((len(rows), 1))), metric)(*ends)
        assert together[b] == pytest.approx(alone[0], abs=1e-12)


def test_without_positives_or_negatives_there_is_no_ranking():
    score, one = np.arange(4.0), np.ones((4, 1))
    nobody = Ranking(score, np.zeros(4, bool)).curve(one)
    assert np.isnan([nobody.average_precision()[0], nobody.auroc()[0], nobody.partial_auroc()[0]]).all()
    everybody = Ranking(score, np.ones(4, bool)).curve(one)
    assert everybody.average_precision()[0] == 1
    assert np.isnan([everybody.auroc()[0], everybody.partial_auroc()[0]]).all()


def test_a_perfect_order_and_its_reverse():
    truth = np.array([False, False, True, True])
    assert Ranking(np.arange(4.0), truth).curve(np.ones((4, 1))).partial_auroc()[0] == pytest.approx(0.2)
    assert Ranking(-np.arange(4.0), truth).curve(np.ones((4, 1))).auroc()[0] == 0
