"""Tests of a share against a margin: the variance at the margin, its error rate, and an interval that agrees."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom, multinomial

from skinlab.evaluation.statistics.comparison import Endpoint, compare
from skinlab.evaluation.statistics.estimates import Estimate, estimate
from skinlab.evaluation.statistics.hypotheses import Hypothesis
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.margins import Discordant
from tests.evaluation.statistics.test_sign_flips import discordant

NOT_WORSE = Hypothesis("noninferiority", 0.05)


def found_of(changes: np.ndarray) -> Estimate:
    """Return the difference of two systems to which groups add so much."""
    variance = Variance(changes.var(ddof=1) * len(changes), np.inf)
    found = estimate(changes.sum(), [variance], n=1, n_draws=10**6)
    return replace(found, discordant=Discordant.of(changes))


@pytest.mark.parametrize("difference", [-0.05, 0.02, 0.0])
@pytest.mark.parametrize(("gained", "lost"), [(0, 2), (3, 1), (7, 9), (5, 0)])
def test_the_variance_is_that_of_the_most_likely_shares_with_the_difference(gained, lost, difference):
    n = 100

    def unlikely(share: float) -> float:
        return -multinomial.logpmf(
            [gained, lost, n - gained - lost], n, [share + difference, share, 1 - 2 * share - difference]
        )

    share = minimize_scalar(
        unlikely, bounds=(max(0, -difference), (1 - difference) / 2), method="bounded", options={"xatol": 1e-10}
    ).x
    found = Discordant(gained / n, lost / n, 1 / n).variance(difference)
    assert found == pytest.approx((2 * share + difference - difference**2) / n, rel=1e-4, abs=1e-8)


def test_two_of_a_hundred_images_lost_are_no_proof_of_fewer_than_five():
    a, b = discordant(100, 0, 2)
    (found,) = compare([("b", b), ("a", a)], [], reference="b", endpoint=Endpoint("accuracy", NOT_WORSE))
    assert found.p == pytest.approx(0.084, abs=0.003)
    assert found.p > binom.cdf(2, 100, 0.05) / 2
    assert not found.significant


def test_three_discordant_images_give_a_p_against_a_margin_but_no_interval():
    a, b = discordant(150, 0, 3)
    endpoint = Endpoint("accuracy", Hypothesis("noninferiority", 0.08))
    (found,) = compare([("b", b), ("a", a)], [], reference="b", endpoint=endpoint)
    assert found.significant
    assert np.isnan(found.difference.low)
    assert "differ in 3 groups" in found.difference.note


@pytest.mark.parametrize(("gained", "lost"), [(0, 5), (2, 4), (6, 1), (4, 4), (0, 9), (12, 2)])
@pytest.mark.parametrize("kind", ["superiority", "noninferiority", "equivalence"])
def test_the_interval_agrees_with_the_test(gained, lost, kind):
    a, b = discordant(150, gained, lost)
    for margin in (0.01, 0.03, 0.05, 0.08):
        endpoint = Endpoint("accuracy", Hypothesis(kind, margin))
        (found,) = compare([("b", b), ("a", a)], [], reference="b", endpoint=endpoint)
        low, high = found.difference.low, found.difference.high
        held = {
            "superiority": low > margin or high < -margin,
            "noninferiority": low > -margin,
            "equivalence": low > -margin and high < margin,
        }
        assert found.significant == held[kind], (margin, low, high, found.p)


def test_superiority_by_a_margin_is_no_more_certain_than_a_difference():
    a, b = discordant(40, 5, 0)
    (found,) = compare([("b", b), ("a", a)], [], endpoint=Endpoint("accuracy", Hypothesis("superiority", 1e-6)))
    assert found.p == pytest.approx(0.03125, abs=1e-3)


@pytest.mark.parametrize("rest", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("n", [50, 100, 200])
def test_a_system_worse_by_the_margin_is_rarely_called_not_inferior(n, rest):
    """The exact error rate, nominally 0.025, over all counts of images won and lost, with the variance found, too."""
    error = np.zeros(2)
    shares = rest, rest + 0.05, 0.95 - 2 * rest
    for gained in range(int(binom.isf(1e-6, n, rest)) + 1):
        for lost in range(gained + int(0.05 * n) + 1):
            if (chance := multinomial.pmf([gained, lost, n - gained - lost], n, shares)) > 1e-7:
                found = found_of(np.repeat([1 / n, -1 / n, 0], [gained, lost, n - gained - lost]))
                both = found, replace(found, discordant=None)
                error += [chance * (NOT_WORSE.p_value(each, "accuracy") <= 0.025) for each in both]
    print(
        f"\n{n} images, {rest:.0%} won and {rest + 0.05:.0%} lost: {error[0]:.3f}; by the variance found {error[1]:.3f}"
    )
    assert error[0] <= 0.026


@pytest.mark.parametrize("rest", [0.0, 0.05])
def test_lesions_of_one_to_five_images_count_as_lesions(rest):
    """A system that loses all images of 5 % more of 150 lesions than it wins."""
    rng, studies = np.random.default_rng(0), 1000
    size = np.arange(150) % 5 + 1
    errors = 0
    for _ in range(studies):
        fate = rng.random(150)
        changes = ((fate < rest) * 1.0 - ((fate > rest) & (fate < 2 * rest + 0.05))) * size / size.sum()
        errors += NOT_WORSE.p_value(found_of(changes), "accuracy") <= 0.025
    print(f"\nlesions, {rest:.0%} won and {rest + 0.05:.0%} lost: {errors / studies:.3f}")
    assert 0 < errors / studies <= 0.025 + 2 * (0.025 * 0.975 / studies) ** 0.5
