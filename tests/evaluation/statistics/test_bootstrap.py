import numpy as np
import pytest
from scipy import stats

from skinlab.evaluation.metrics.ranking import Ranking
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.statistics.bootstrap import BLOCK, Resampler, bootstrap, interval


def mean_of(values):
    return lambda weights: {"mean": values @ weights / weights.sum(0)}


def test_groups_stay_whole_and_classes_keep_their_groups():
    rng = np.random.default_rng(0)
    groups, target = rng.integers(40, size=100), rng.integers(3, size=100)
    resampler = Resampler(groups, target)
    weights = np.concatenate(list(resampler.weights(250)), axis=1)
    assert weights.shape == (100, 250)
    for group in range(40):
        rows = weights[groups == group]
        assert (rows == rows[:1]).all()
    first_row = np.array([np.flatnonzero(groups == g)[0] for g in np.unique(groups)])
    assert (weights[first_row].sum(0) == len(first_row)).all()
    by_name = dict(zip(np.unique(groups), weights[first_row], strict=True))
    for stratum in resampler.strata:
        names = [list(dict.fromkeys(groups))[g] for g in stratum]
        assert (sum(by_name[name] for name in names) == len(names)).all()


def test_a_bootstrap_sample_depends_on_seed_and_number_only():
    resampler = Resampler(np.arange(30), np.arange(30) % 2)
    many = np.concatenate(list(resampler.weights(2 * BLOCK + 7, seed=5)), axis=1)
    few = np.concatenate(list(resampler.weights(BLOCK + 3, seed=5)), axis=1)
    assert (many[:, : BLOCK + 3] == few).all()
    assert (many != np.concatenate(list(resampler.weights(2 * BLOCK + 7, seed=6)), axis=1)).any()


def test_threads_change_nothing():
    rng = np.random.default_rng(0)
    p, target = rng.dirichlet(np.ones(3), 200), rng.integers(3, size=200)
    scorer, resampler = Scorer(p, target, list("abc")), Resampler(np.arange(200) // 2, target)
    together = bootstrap(scorer, resampler, n_draws=300)
    alone = np.concatenate([scorer(weights)["auroc/a"] for weights in resampler.weights(300)])
    assert (together.values["auroc/a"] == alone).all()


def test_intervals_are_scipy_s():
    values = np.random.default_rng(1).exponential(size=80)
    draws = bootstrap(mean_of(values), Resampler(np.arange(80), np.zeros(80, int)), n_draws=20_000)
    ours = draws.interval("mean")
    for method, ends in (("percentile", (ours.low, ours.high)), ("BCa", (ours.bca_low, ours.bca_high))):
        theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=method, rng=2).confidence_interval
        assert ends == pytest.approx(tuple(theirs), abs=0.02)
    assert ours.bca_high > ours.high  # a skewed mean: BCa moves its interval to the long tail


def test_a_metric_without_spread_or_value():
    assert interval(0.3, np.full(50, 0.3), np.full(4, 0.3)).low == 0.3
    assert np.isnan(interval(float("nan"), np.full(50, np.nan), np.zeros(0)).high)
    half_known = np.r_[np.full(50, np.nan), np.linspace(0, 1, 50)]
    assert interval(0.5, half_known, np.zeros(0)).low == pytest.approx(0.025)


@pytest.mark.slow
def test_coverage_at_300_positives():
    """95 % intervals hold the truth in 92 to 97 % of simulated studies, the two images of a lesion being alike."""
    n_studies, metrics = 400, ("auroc", "pr_auc", "recall")
    hits = dict.fromkeys([(name, kind) for name in metrics for kind in ("percentile", "bca")], 0)

    def study(rng, lesions):
        truth = np.repeat(np.arange(lesions) < lesions * 0.2, 2)
        score = rng.normal(size=2 * lesions) + np.repeat(rng.normal(size=lesions), 2) + 1.5 * truth - 1
        return score, truth, np.repeat(np.arange(lesions), 2)

    def statistic(score, truth):
        ranking, found = Ranking(score, truth), np.where(truth, score > 0, 0.0)

        def figures_of(weights):
            curve = ranking.curve(weights)
            values = curve.auroc(), curve.average_precision(), found @ weights / curve.n_pos
            return dict(zip(metrics, values, strict=True))

        return figures_of

    score, truth, _ = study(np.random.default_rng(99), 400_000)
    real = statistic(score, truth)(np.ones((len(truth), 1)))
    for seed in range(n_studies):
        score, truth, groups = study(np.random.default_rng(seed), 750)
        draws = bootstrap(statistic(score, truth), Resampler(groups, truth.astype(int)), n_draws=600)
        for name in metrics:
            found = draws.interval(name)
            hits[name, "percentile"] += found.low <= real[name][0] <= found.high
            hits[name, "bca"] += found.bca_low <= real[name][0] <= found.bca_high
    coverage = {key: count / n_studies for key, count in hits.items()}
    print(coverage)
    assert all(0.92 <= share <= 0.97 for share in coverage.values()), coverage
