"""Error rate and power of the study's verdict by simulation: ``python -m tests.verdict_table`` prints its table.

Five verdicts, each on one difference of arms, which is the least favourable case of a verdict on several controls: its
other controls are far below. A difference has an error of the images, of variance 1, and one of the trainings, of a
variance `ratio` times as large, estimated from the seeds. The arm with the pool may vary three times as much between
seeds as the others. The power is that of a true difference of four standard errors, after the correction for five.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from skinlab.evaluation.statistics.estimates import critical_values

Floats = npt.NDArray[np.float64]
RATIOS, SEEDS, N_VERDICTS, N_ARMS, ERROR, GAIN = (0.25, 1.0, 4.0, 16.0), (2, 3, 5), 5, 6, 0.05, 4.0
Method = Callable[[Floats, int], Floats]  # values (N, verdicts, arms, seeds) → critical value times standard error


def cochran_cox(values: Floats, k: int) -> Floats:
    """Return the critical distance of the study: the variance of the pair's own differences."""
    own = (values[:, :, 0] - values[:, :, 1]).var(2, ddof=1) / k
    return np.asarray(critical_values([np.ones_like(own), own], [np.inf, k - 1], TAIL) * (1 + own) ** 0.5)


def satterthwaite(values: Floats, k: int) -> Floats:
    """Return that of a t test with estimated degrees of freedom."""
    own = (values[:, :, 0] - values[:, :, 1]).var(2, ddof=1) / k
    return np.asarray(student.isf(TAIL, (k - 1) * ((1 + own) / own) ** 2) * (1 + own) ** 0.5)


def pooled(values: Floats, k: int) -> Floats:
    """Return that with the variance between seeds pooled over six arms, as of a two-way analysis of variance."""
    centre = values.mean(2, keepdims=True) + values.mean(3, keepdims=True) - values.mean((2, 3), keepdims=True)
    degrees_of_freedom = (N_ARMS - 1) * (k - 1)
    both = 2 * ((values - centre) ** 2).sum((2, 3)) / degrees_of_freedom / k
    critical = critical_values([np.ones_like(both), both], [np.inf, degrees_of_freedom], TAIL)
    return np.asarray(critical * (1 + both) ** 0.5)


TAIL = ERROR / N_VERDICTS / 2  # Holm's first step, which decides whether there is any error
METHODS: dict[str, Method] = {
    "Cochran and Cox": cochran_cox,
    "Satterthwaite": satterthwaite,
    "pooled over arms": pooled,
}


def simulate(method: Method, k: int, ratio: float, wild: float, n: int = 4000, seed: int = 0) -> tuple[float, float]:
    """Return the family's error rate and the power of one verdict."""
    rng = np.random.default_rng(seed)
    sd = np.array([wild] + [1.0] * (N_ARMS - 1)) * np.sqrt(ratio * k / (1 + wild**2))
    values = rng.standard_normal((n, N_VERDICTS, N_ARMS, k)) * sd[:, None]
    found = (values[:, :, 0] - values[:, :, 1]).mean(2) + rng.standard_normal((n, N_VERDICTS))
    reach = method(values, k)
    error = (np.abs(found) > reach).any(1).mean()
    return float(error), float((found + GAIN * np.sqrt(1 + ratio) > reach).mean())


def rows(**more: Any) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| seeds | trainings' variance / images' | SD of the pool's arm | " + " | ".join(METHODS) + " |"
    yield "|---|---|---|" + "---|" * len(METHODS)
    for k in SEEDS:
        for ratio in RATIOS:
            for wild in (1.0, 3.0):
                cells = [simulate(method, k, ratio, wild, **more) for method in METHODS.values()]
                words = " | ".join(f"{error:.3f} ({power:.2f})" for error, power in cells)
                yield f"| {k} | {ratio:g} | {'as the others' if wild == 1 else 'three times'} | {words} |"


if __name__ == "__main__":
    print("\n".join(rows()))
