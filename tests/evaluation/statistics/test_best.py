"""Which of many systems may be the best: the set holds the truly best one as often as it says, and few others."""

import numpy as np
import pytest
from scipy.stats import norm

from skinlab.evaluation.statistics.best import best_systems, probabilities
from skinlab.evaluation.statistics.intervals import Variance
from tests.evaluation.statistics.test_comparison import draws_of, system

IMAGES_ALONE = Variance(0.0, np.inf)


@pytest.mark.parametrize(("n", "studies"), [(3, 400), (30, 200), (200, 60)])
def test_the_set_holds_the_best_of_any_number_of_systems(n: int, studies: int):
    """All are equally good, the hardest case, and share most of their errors."""
    rng, held = np.random.default_rng(n), 0
    for _ in range(studies):
        shared = rng.normal(size=401)
        values, *draws = (3 * shared + rng.normal(size=(n, 401))).T
        held += probabilities(values, values[:, None] + np.array(draws).T, [IMAGES_ALONE] * n)[0] > 0.05
    assert abs(held / studies - 0.95) < 3 * np.sqrt(0.95 * 0.05 / studies)


def test_what_is_clearly_worse_is_left_out():
    rng = np.random.default_rng(0)
    values = np.array([0.0, -0.5, -6.0, -8.0])
    p = probabilities(values, values[:, None] + rng.normal(size=(4, 2000)), [IMAGES_ALONE] * 4)
    assert p[0] > p[1] > 0.3
    assert (p[2:] < 0.01).all()


def test_with_one_other_system_it_is_the_one_sided_test():
    draws = np.random.default_rng(0).normal(size=(2, 20_000))
    p = probabilities(np.array([0.0, 1.5]), draws, [IMAGES_ALONE] * 2)
    assert p[0] == pytest.approx(norm.sf(1.5 / np.sqrt(2)), abs=0.01)
    seeds = [Variance(1.0, 2), Variance(1.0, 2)]
    assert probabilities(np.array([0.0, 1.5]), draws, seeds)[0] > p[0] + 0.05, "trainings vary, too"


def test_equal_systems_stay_together_and_samples_without_a_value_are_left_out():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=500), rng.normal(size=500) - 9
    draws = np.array([one, one, other])
    draws[:, :20] = np.nan
    p = probabilities(np.array([0.0, 0.0, -9.0]), draws, [IMAGES_ALONE] * 3)
    assert p[0] == p[1] > 0.5
    assert p[2] < 0.01


def test_metrics_of_which_less_is_better_and_those_without_a_direction():
    names = ["brier", "auroc_macro", "calibration_slope/b"]
    systems = [(f"s{k}", draws_of(system(noise, seed=k), names=names)) for k, noise in enumerate((0.4, 1, 9))]
    brier, auroc = best_systems(systems, names)
    for found in (brier, auroc):
        assert found["highest"] == found["systems"][0] == "s0"
        assert "s2" not in found["systems"]
        assert list(found["p"]) == ["s0", "s1", "s2"]
    assert auroc["sentence"].startswith("The best of the 3 systems by macro AUROC is s0 (95 % confidence, of these wei")
    assert best_systems(systems[:2], names) == []


def test_many_names_are_not_all_in_the_sentence():
    systems = [(f"s{k}", draws_of(system(1, seed=k, n=120), names=["auroc_macro"])) for k in range(9)]
    systems.append(("bad", draws_of(system(50, n=120), names=["auroc_macro"])))
    (found,) = best_systems(systems, ["auroc_macro"])
    n = len(found["systems"])
    assert 3 < n < 10
    assert "bad" not in found["systems"]
    assert found["sentence"].endswith(f" and {n - 3} more.")
    assert found["sentence"].startswith(f"{n} of the 10 systems may be the best one by macro AUROC (95 % confidence")
