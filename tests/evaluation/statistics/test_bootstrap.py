import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from skinlab.evaluation.metrics.registry import METRICS
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.statistics.bootstrap import BLOCK, Resampler, average, bootstrap
from skinlab.evaluation.statistics.intervals import (
    AT_BOUND,
    ShareSize,
    Variance,
    independent_images,
    jackknife_variance,
    share_interval,
    t_interval,
)
from skinlab.evaluation.statistics.jackknife import LEFT_OUT, Jackknife
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate
from skinlab.evaluation.statistics.unpaired import difference_p
from tests.coverage_simulation import Cell, coverage
from tests.coverage_table import HIGH, LOW


def mean_of(values):
    return lambda weights: {"mean": values @ weights / weights.sum(0)}


def two_classes(n: int, positives: int, shift: float = 1.5, seed: int = 0, images: int = 1):
    """Return probabilities, truth and groups of two classes."""
    rng = np.random.default_rng(seed)
    truth = np.repeat((np.arange(n) < positives).astype(np.int64), images)
    score = 1 / (1 + np.exp(-(rng.normal(size=len(truth)) + shift * truth - 1)))
    return np.stack([1 - score, score], 1), truth, np.repeat(np.arange(n), images)


def samples_of(p, truth, groups, n_draws=100):
    return bootstrap(Scorer(p, truth, ["o", "p"]), Resampler(groups, truth, ["o", "p"]), n_draws=n_draws)


@pytest.mark.parametrize("stratified", [True, False])
def test_groups_stay_whole_and_their_number_is_that_of_the_table(stratified):
    rng = np.random.default_rng(0)
    groups, target = rng.integers(40, size=100), rng.integers(3, size=100)
    resampler = Resampler(groups, target, stratified=stratified)
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
    assert len(resampler.strata) == (3 if stratified else 1)


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


def test_a_jackknife_leaves_out_single_groups_or_equal_shares_of_each_class():
    few = Jackknife.of(np.array([0, 0, 1, 0, 1]))
    assert sorted(few.part) == [0, 1, 2, 3, 4]
    assert (few.part_size == 1).all()
    many = Jackknife.of(np.repeat([0, 1, 2], [5000, 600, 10]))
    assert len(many.part_class) <= LEFT_OUT
    assert np.bincount(many.part_class).tolist() == [195, 195, 10]
    assert many.part_size.sum() == 5610


def test_the_interval_of_a_mean_is_student_s_t():
    values = np.random.default_rng(1).normal(size=80)
    found = bootstrap(mean_of(values), Resampler(np.arange(80), np.zeros(80, int)), n_draws=100).interval("mean")
    theirs = stats.ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("n_positive", [6, 25])
def test_the_standard_error_of_an_auroc_is_delong_s(n_positive):
    p, truth, groups = two_classes(60, n_positive)
    positive, negative = p[truth == 1, 1], p[truth == 0, 1]
    wins = (positive[:, None] > negative).astype(float)  # the structural components of DeLong et al. (1988)
    delong = np.sqrt(wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative))
    found = samples_of(p, truth, groups)
    assert found.estimate["auroc/p"] == pytest.approx(roc_auc_score(truth, p[:, 1]))
    assert found.variance("auroc/p").standard_error == pytest.approx(delong)


def test_class_counts_vary_for_metrics_of_the_class_mix_alone():
    p, truth, groups = two_classes(80, 40, shift=3)
    found = samples_of(p, truth, groups)
    fixed = {metric.name for metric in METRICS if metric.stratified}
    assert {"recall", "auroc", "balanced_accuracy", "sensitivity"} <= fixed
    assert not fixed & {"accuracy", "brier", "log_loss", "precision", "pr_auc", "calibration_intercept", "mcc"}
    share = bootstrap(lambda w: {"positive share": truth @ w / w.sum(0)}, Resampler(groups, truth), n_draws=100)
    assert share.variance("positive share").standard_error == pytest.approx(np.sqrt(0.25 / 79), rel=0.01)
    assert found.values["support/p"].std() > 2


def test_degrees_of_freedom_are_those_of_the_class_that_varies():
    p, truth, groups = two_classes(300, 10)
    found = samples_of(p, truth, groups)
    assert 9 <= found.variance("auroc/p").degrees_of_freedom < 15
    assert found.variance("specificity").degrees_of_freedom == pytest.approx(289)


def test_few_groups_have_no_interval_or_a_caution():
    found = samples_of(*two_classes(100, 4))
    assert found.interval("sensitivity").note == "no interval: 4 groups of p, at least 5 are needed"
    assert np.isnan(found.interval("auroc_macro").low)
    assert np.isfinite(found.interval("specificity").low)
    assert np.isfinite(found.interval("accuracy").low)
    six = samples_of(*two_classes(100, 6))
    assert np.isfinite(six.interval("sensitivity").low)
    assert six.interval("auroc/p").note == "no interval: 6 groups of p, at least 8 are needed"
    rough = samples_of(*two_classes(100, 12)).interval("auroc/p")
    assert rough.note == "caution: 12 groups of p, under 20: the interval is rough"
    assert rough.low < rough.value < rough.high
    assert samples_of(*two_classes(4, 2, images=50)).interval("accuracy").note.startswith("no interval: 4 groups")
    assert not samples_of(*two_classes(100, 30)).interval("auroc/p").note


def test_shares_at_zero_and_one_have_an_interval_and_other_bounds_have_none():
    truth = (np.arange(82) < 59).astype(np.int64)
    p = np.stack([1 - 0.9 * truth, 0.9 * truth], 1)
    found = samples_of(p, truth, np.arange(82))
    sensitivity = found.interval("sensitivity")
    assert (sensitivity.value, sensitivity.high) == (1, 1)
    assert sensitivity.low == pytest.approx(0.939, abs=0.002)  # Clopper-Pearson: 0.939
    assert found.interval("auroc/p").note == AT_BOUND
    one_class = samples_of(np.tile([0.9, 0.1], (82, 1)), truth, np.arange(82))
    assert one_class.estimate["balanced_accuracy"] == 0.5
    assert one_class.interval("balanced_accuracy").note == AT_BOUND
    none_found = samples_of(p[:, ::-1], truth, np.arange(82)).interval("specificity")
    assert (none_found.value, none_found.low) == (0, 0)
    assert none_found.high == pytest.approx(0.143, abs=0.01)


def test_several_images_of_a_group_are_worth_fewer():
    single, group = ShareSize(60, 60, 60), ShareSize(60, 20, 20)
    assert share_interval(1.0, single, 0.0)[0] > share_interval(1.0, group, 0.0)[0]
    for variance in (0.001, 0.01, 0.1):  # the effective number lies between 20 and 60
        low, high = share_interval(0.9, group, variance)
        assert 0.6 < low < 0.9 < high < 1


def test_an_interval_stays_within_its_bounds():
    for value, bounds in ((0.99, (0, 1)), (0.199, (0, 0.2)), (-0.98, (-1, 1)), (0.01, (0, np.inf))):
        low, high = t_interval(value, Variance(0.05**2, 8), bounds)
        assert bounds[0] <= low < value < high <= bounds[1]
    assert t_interval(0.5, Variance(0.01, np.inf)) == pytest.approx((0.304, 0.696), abs=0.001)


def test_a_calibration_error_has_no_interval():
    found = samples_of(*two_classes(100, 40))
    for name in ("ece", "adaptive_ece"):
        assert found.interval(name).value > 0
        assert found.interval(name).note.startswith("no interval: resampling")


def test_a_macro_average_is_undefined_on_a_bootstrap_sample_without_one_of_the_classes():
    p, truth, groups = two_classes(20, 2)
    scorer, resampler = Scorer(p, truth, ["o", "p"]), Resampler(groups, truth)
    values, weights = bootstrap(scorer, resampler, n_draws=100), next(resampler.weights(100))
    lost = weights[truth == 1].sum(0) == 0
    assert lost.any()
    assert np.isnan(values.values["recall/p"][lost]).all()
    for name in ("balanced_accuracy", "f1_macro", "auroc_macro", "pr_auc_macro"):
        assert (np.isnan(values.values[name]) == lost).all()
    assert values.undefined("recall/p") == pytest.approx(lost.mean())
    assert values.interval("recall/p").to_dict()["undefined"] == pytest.approx(lost.mean(), abs=1e-4)


def test_a_difference_has_no_bounds_and_the_mean_of_one_system_is_itself():
    p, truth, groups = two_classes(100, 40)
    one, other = samples_of(p, truth, groups), samples_of(two_classes(100, 40, seed=1)[0], truth, groups)
    found = one.minus(other).interval("sensitivity")
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert np.isnan(one.minus(one).interval("auroc/p").high)
    assert average([one]).interval("auroc/p") == one.interval("auroc/p")
    halves = average([one, other])
    assert halves.estimate["brier"] == pytest.approx((one.estimate["brier"] + other.estimate["brier"]) / 2)


def test_differences_on_few_groups_have_a_p_value_but_no_interval():
    few, enough = (
        samples_of(*two_classes(200, n)).minus(samples_of(two_classes(200, n, seed=1)[0], *two_classes(200, n)[1:]))
        for n in (9, 30)
    )
    assert few.interval("auroc/p").note == "no interval: 9 groups of p, at least 25 are needed for one of a difference"
    assert few.interval("recall/p").note.startswith("no interval: 9 groups of p, at least 10")
    assert few.no_interval("auroc/p") == few.no_interval("recall/p") == ""
    assert np.isfinite(few.interval("brier").low)
    assert np.isfinite(enough.interval("auroc/p").low)
    assert enough.variance("auroc/p").degrees_of_freedom == np.inf  # DeLong's test
    assert enough.variance("recall/p").degrees_of_freedom == pytest.approx(29)


def test_the_interval_of_a_brier_score_of_two_classes_ends_below_one():
    rng = np.random.default_rng(0)
    truth, wrong = np.repeat([0, 1], 15), rng.choice([0.7, 1.0], 30)
    p = np.where(truth == 1, 1 - wrong, wrong)
    found = samples_of(np.stack([1 - p, p], 1), truth, np.arange(30)).interval("brier")
    assert 0.8 < found.value < found.high < 1


@pytest.mark.parametrize("metric", ["recall/p", "accuracy", "balanced_accuracy", "f1/p", "npv/p"])
@pytest.mark.parametrize("n_discordant", [4, 5])
def test_a_difference_of_decisions_has_an_interval_where_it_could_be_significant(metric, n_discordant):
    truth, groups = np.repeat([0, 1], 60), np.arange(120)
    p = np.stack([1 - truth, truth], 1).astype(float)
    other = p.copy()
    other[60 : 60 + n_discordant] = p[60 : 60 + n_discordant, ::-1]
    found = samples_of(p, truth, groups).minus(samples_of(other, truth, groups))
    interval, may_be_significant = found.interval(metric), found.mid_p(metric) < 0.05
    assert may_be_significant == np.isfinite(interval.low) == (n_discordant == 5)
    assert may_be_significant or interval.note == "no interval: the decisions differ in 4 groups, at least 5 are needed"


@pytest.mark.parametrize("per_group", [1, 3])
def test_a_difference_to_which_all_groups_add_the_same_has_a_score_interval(per_group):
    truth = np.repeat([1, 0], [60, 30])
    p = np.stack([1 - 0.9 * truth, 0.9 * truth], 1)
    groups = np.arange(90) // per_group
    clean, blind = samples_of(p, truth, groups), samples_of(np.tile([0.9, 0.1], (90, 1)), truth, groups)
    found, n, quantile = blind.minus(clean).interval("sensitivity"), 60 / per_group, stats.norm.ppf(0.975)
    assert (found.value, found.low) == (-1, pytest.approx(-1))
    assert found.high == pytest.approx((quantile**2 - n) / (quantile**2 + n))  # Tango's equation, solved by hand
    whole = difference_estimate(Trainings({0: blind}), Trainings({0: clean}), "sensitivity")
    assert (whole.low, whole.high) == (found.low, found.high)
    assert difference_p(blind.minus(clean), "sensitivity") <= 1e-3


def test_a_difference_of_shares_that_rests_on_two_groups_has_no_interval():
    size = np.array([20, 20, *[1] * 58])
    groups = np.repeat(np.arange(60), size)
    truth = (np.arange(60) < 30).astype(int)[groups]
    p = np.stack([1 - truth, truth], 1).astype(float)
    other = np.where((groups < 6)[:, None], p[:, ::-1], p)
    found = samples_of(p, truth, groups).minus(samples_of(other, truth, groups))
    assert found.interval("recall/p").note == "no interval: the difference rests on fewer than 3 groups"


def test_the_effective_number_of_images_lies_between_groups_and_images():
    group, rng = np.repeat(np.arange(40), 3), np.random.default_rng(0)
    assert independent_images(rng.normal(size=40)[group], group) == pytest.approx(40)
    assert 80 < independent_images(rng.normal(size=120), group) <= 120
    assert independent_images(rng.normal(size=120), np.arange(120)) == 120


def test_few_images_that_carry_a_metric_leave_few_degrees_of_freedom():
    losses = np.r_[np.full(95, 0.1), np.full(5, 9.0)]
    resampler = Resampler(np.arange(100), np.zeros(100, int))
    found = bootstrap(mean_of(losses), resampler, n_draws=0)
    left_out, parts = found.left_out["mean"], resampler.jackknife
    light, heavy = (
        jackknife_variance(
            losses.mean(), left_out, parts.part_class, parts.part_size, stratified=False, heavy_tails=heavy_tails
        )
        for heavy_tails in (False, True)
    )
    assert light.value == heavy.value == pytest.approx(losses.var(ddof=1) / 100)
    assert light.degrees_of_freedom == pytest.approx(99)
    assert heavy.degrees_of_freedom < 20


@pytest.mark.slow
@pytest.mark.parametrize("cell", [Cell((0.5, 0.5), 100, 1), Cell((0.8, 0.2), 100, 3)], ids=str)
def test_intervals_cover_the_truth(cell):
    """95 % intervals hold the truth in 92 to 97 % of simulated studies, or more where few images are wrong."""
    repeats = 300
    found = coverage(cell, repeats)
    error = 2.5 * np.sqrt(0.95 * 0.05 / repeats)
    assert {name: share for name, (shown, share) in found.items() if shown > 0.5 and share < LOW - error} == {}
    for name in ("balanced_accuracy", "accuracy", "brier", "recall/c1", "calibration_intercept/c1"):
        assert found[name][1] <= HIGH + error, name
