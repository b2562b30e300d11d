"""The power of a study's verdict: the published simulation, the product's own steps, and the gain that it announces."""

from pathlib import Path

import numpy as np
import pytest

from skinlab.evaluation.statistics.estimates import POWER, detectable_difference, estimate
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.p_values import holm, intersection_union
from tests.verdict_power import CONTROLS, GAINS, N_VERDICTS, draw_studies, helps, least_gain, seeds_needed

PAGE = (Path(__file__).parents[3] / "docs" / "statistics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_simulated_verdict_is_that_of_holm_s_and_the_intersection_union_test(seeds):
    studies = draw_studies(seeds, ratio=0.5, n=20)
    by_quantiles = helps(studies, gain=5.0, n_true=3)
    for study, verdicts in enumerate(by_quantiles):
        p = []
        for arm in range(N_VERDICTS):
            gains = studies.found[study, arm] + 5.0 * (arm < 3)
            parts = [[Variance(1, np.inf), Variance(each, seeds - 1)] for each in studies.variance[study, arm]]
            found = [estimate(v, part, n=seeds, n_draws=10**9) for v, part in zip(gains, parts, strict=True)]
            p.append(intersection_union([each.p for each in found], gains) if gains.min() > 0 else 1.0)
        assert verdicts.tolist() == [each <= 0.05 for each in holm(p)]


@pytest.mark.parametrize("ratio", [0.25, 4.0])
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_gain_that_a_study_announces_is_found_in_four_of_five(seeds, ratio):
    parts = [Variance(1, np.inf), Variance(ratio / seeds, seeds - 1)]
    announced = detectable_difference(parts, level=1 - 0.05 / N_VERDICTS, n_controls=CONTROLS)
    assert announced == pytest.approx(least_gain(seeds, ratio), rel=0.03)
    assert helps(draw_studies(seeds, ratio), announced)[:, 0].mean() == pytest.approx(POWER, abs=0.02)


@pytest.mark.parametrize(("ratio", "seeds", "wild"), [(0.25, 3, 1.0), (1.0, 5, 3.0), (4.0, 5, 1.0), (16.0, 2, 3.0)])
def test_the_published_power_is_that_of_a_smaller_simulation(ratio, seeds, wild):
    start = f"| {ratio:g} | {seeds} | {'as the others' if wild == 1 else 'three times'} | "
    published = next(line for line in PAGE.splitlines() if line.startswith(start)).strip("| ").split(" | ")[3:]
    studies = draw_studies(seeds, ratio, wild, n=1000)
    found = [helps(studies, gain)[:, 0].mean() for gain in GAINS[1:]]
    assert [float(each) for each in published[1:-1]] == pytest.approx(found, abs=0.05)
    assert float(published[0]) < 0.05
    assert float(published[-1]) == pytest.approx(np.quantile(studies.shortfall(0), POWER), rel=0.15)


def test_the_published_numbers_of_seeds_have_the_power():
    row = next(line for line in PAGE.splitlines() if line.startswith("| 4 | > 30 | 10 |")).strip("| ").split(" | ")
    assert [seeds_needed(gain, 4.0) for gain in (6, 8, 12)] == [int(each) for each in row[3:]]


def test_equal_arms_are_rarely_told_apart():
    for seeds in (2, 3, 5):
        assert helps(draw_studies(seeds, 4.0, wild=3.0), gain=0.0).any(1).mean() < 0.01


def test_more_seeds_find_a_smaller_gain_and_no_number_of_them_less_than_the_images_allow():
    assert least_gain(2, 1.0) > 4 * least_gain(3, 1.0) > 4 * least_gain(5, 1.0)
    assert seeds_needed(6, 1.0) == 4
    assert least_gain(30, 0.25) > 3
