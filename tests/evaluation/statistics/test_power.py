"""Power of a study: the simulation against closed forms, scikit-learn, and what is known of DSM-2025's folds."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from skinlab.evaluation.statistics.power import Design, areas, detectable, simulate

FOLD, POOLED = [1014, 59], [5034, 293]


def test_areas_are_scikit_learn_s():
    rng = np.random.default_rng(0)
    scores, truth = rng.standard_normal((3, 50)), rng.random(50) < 0.3
    area, precision = areas(scores, truth)
    np.testing.assert_allclose(area, [roc_auc_score(truth, row) for row in scores])
    np.testing.assert_allclose(precision, [average_precision_score(truth, row) for row in scores])


def delong_error(auroc: float, n_pos: int, n_neg: int) -> float:
    """Return the standard error of one binormal area, by DeLong's components (1988) in closed form.

    The variance of the area is Var[P(score beats a negative)] / positives + Var[P(score is beaten)] / negatives, and
    both components are Φ₂(z, z; ½) - AUROC² with z the normal quantile of the area.
    """
    z = norm.ppf(auroc)
    component = multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([z, z]) - auroc**2
    return (component / n_pos + component / n_neg) ** 0.5


def test_the_area_and_its_error_are_those_of_the_closed_form():
    found = simulate(Design(FOLD), n_tables=600)["auroc_macro"][:, 0, 0]
    standard_error = delong_error(0.9, 59, 1014)
    assert found.mean() == pytest.approx(0.9, abs=4 * standard_error / 600**0.5)
    assert found.std(ddof=1) == pytest.approx(standard_error, rel=0.1)


def test_balanced_accuracy_is_that_of_two_normals_cut_half_way():
    shift = 2**0.5 * norm.ppf(0.9)
    found = simulate(Design(FOLD), n_tables=200)["balanced_accuracy"].mean()
    assert found == pytest.approx(norm.cdf(shift / 2), abs=0.006)


@pytest.mark.parametrize(("counts", "area", "precision"), [(FOLD, 0.033, 0.12), (POOLED, 0.015, 0.053)])
def test_all_folds_together_have_more_power_than_one_with_few_positives(counts, area, precision):
    found = detectable(Design(counts), n_tables=300)
    assert found["auroc_macro"].difference == pytest.approx(area, rel=0.15)
    assert found["pr_auc_positive"].difference == pytest.approx(precision, rel=0.15)


def test_a_true_difference_of_the_detectable_size_is_found_four_times_in_five():
    design = Design([600, 120])
    found = detectable(design, n_tables=600)["auroc_macro"]
    values = simulate(design, n_tables=600, seed=1, gain=found.difference)["auroc_macro"][:, :, 0]
    significant = (values[:, 0] - values[:, 1]) / found.standard_error > norm.ppf(0.975)
    assert significant.mean() == pytest.approx(0.8, abs=0.07)


def test_what_hides_a_difference():
    def area(**more):
        return detectable(Design([300, 60], **more), n_tables=200)["auroc_macro"].difference

    plain = area()
    assert area(correlation=0.5) > 1.3 * plain, "systems that agree less"
    assert area(rows_per_group=3, group_correlation=1) > 1.3 * plain, "images of one lesion say the same"
    assert area(seeds=10) < plain
    assert area(seeds=3, seed_sd=0.05) > 2 * area(seeds=3), "and the luck of few trainings"


def test_more_classes_have_the_area_of_each():
    found = detectable(Design([60, 30, 20], auroc=0.8), n_tables=100)
    assert set(found) == {"auroc_macro", "pr_auc_macro", "balanced_accuracy"}
    assert found["auroc_macro"].expected == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    "more", [{"counts": [5]}, {"counts": [5, 1]}, {"auroc": 0.5}, {"correlation": 1}, {"seeds": 0}, {"seed_sd": -1}]
)
def test_designs_that_make_no_sense(more):
    with pytest.raises(ValueError, match=r"expected|at least"):
        Design(**{"counts": [50, 10]} | more)
