"""Power of the whole verdict of a study by simulation: ``python -m tests.verdict_power`` prints its two tables.

A verdict needs a significant gain of the pool's arm over each of its three controls (the same recipe without the pool,
the supervised arm of the same compute, the usual one), and Holm's correction counts five verdicts. The true gain is the
same over every control, which is the hardest case. Effects are in standard errors of a difference of two arms by the
images alone (the trainings held fixed); `ratio` is the variance of a difference of two trainings of one seed, divided
by that of the images. The images' errors of two differences have a correlation of one half, since they share an arm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.statistics.estimates import LEVEL, POWER, critical_values

Floats = npt.NDArray[np.float64]
RATIOS, SEEDS, GAINS, CONTROLS, N_VERDICTS, MOST_SEEDS = (0.25, 1.0, 4.0, 16.0), (2, 3, 5), (0, 4, 6, 8), 3, 5, 30


@dataclass(frozen=True)
class Studies:
    """Simulated studies without any gain.

    Attributes:
        found: ``(N, verdicts, controls)`` differences of the pool's arm and each control, mean over the seeds.
        variance: of each by the trainings, estimated from its k differences.
        seeds: k trainings an arm.
    """

    found: Floats
    variance: Floats
    seeds: int

    def shortfall(self, rank: int) -> Floats:
        """Return ``(N, verdicts)`` the gain that each verdict lacks to be significant at a step of Holm's correction.

        Args:
            rank: of its p among those of all verdicts; the smallest, 0, is compared with the error rate / 5.
        """
        tail = (1 - LEVEL) / (N_VERDICTS - rank) / 2
        critical = critical_values([np.ones_like(self.variance), self.variance], [np.inf, self.seeds - 1], tail)
        return np.asarray((critical * (1 + self.variance) ** 0.5 - self.found).max(2))


def draw_studies(seeds: int, ratio: float, wild: float = 1.0, n: int = 4000) -> Studies:
    """Draw studies; the pool's arm varies `wild` times as much between seeds as the controls."""
    rng = np.random.default_rng(0)
    sd = np.array([wild] + [1.0] * CONTROLS) * np.sqrt(ratio / (1 + wild**2))
    trained = rng.standard_normal((n, N_VERDICTS, seeds, 1 + CONTROLS)) * sd
    images = rng.standard_normal((n, N_VERDICTS, 1 + CONTROLS)) * 0.5**0.5
    pairs = trained[..., :1] - trained[..., 1:]
    return Studies(pairs.mean(2) + images[..., :1] - images[..., 1:], pairs.var(2, ddof=1) / seeds, seeds)


def helps(studies: Studies, gain: float, n_true: int = 1) -> npt.NDArray[np.bool_]:
    """Return ``(N, verdicts)`` whether each is "helps"; the first `n_true` arms gain as much over every control."""
    gains = np.where(np.arange(N_VERDICTS) < n_true, gain, 0.0)
    significant = np.stack([studies.shortfall(rank) < gains for rank in range(N_VERDICTS)])
    steps = significant.sum(2) > np.arange(N_VERDICTS)[:, None]  # whether the p of each rank is small enough
    passed = np.logical_and.accumulate(steps, axis=0).sum(0)
    last = significant[np.maximum(passed - 1, 0), np.arange(len(passed))]
    return np.asarray(last & (passed > 0)[:, None])


@cache
def least_gain(seeds: int, ratio: float, wild: float = 1.0) -> float:
    """Return the gain over every control that one verdict of five finds with 80 % power."""
    return float(np.quantile(draw_studies(seeds, ratio, wild).shortfall(0), POWER))


def seeds_needed(gain: float, ratio: float) -> int | None:
    """Return the fewest seeds with 80 % power for a gain over every control; None beyond thirty."""
    return next((k for k in range(2, MOST_SEEDS + 1) if least_gain(k, ratio) <= gain), None)


def power_rows() -> Iterator[str]:
    """Yield the table of powers and error rates."""
    yield "| ratio | seeds | SD of the pool's arm | " + " | ".join(f"gain {gain}" for gain in GAINS) + " | least gain |"
    yield "|---" * (len(GAINS) + 4) + "|"
    for ratio in RATIOS:
        for seeds in SEEDS:
            for wild in (1.0, 3.0):
                studies = draw_studies(seeds, ratio, wild)
                shares = [helps(studies, gain)[:, 0].mean() for gain in GAINS[1:]]
                cells = [f"{helps(studies, 0).any(1).mean():.4f}", *(f"{each:.2f}" for each in shares)]
                varies = "as the others" if wild == 1 else "three times"
                yield f"| {ratio:g} | {seeds} | {varies} | {' | '.join(cells)} | {least_gain(seeds, ratio, wild):.1f} |"


def seeds_rows() -> Iterator[str]:
    """Yield the table of seeds needed."""
    gains = (4, 5, 6, 8, 12)
    yield "| ratio | " + " | ".join(f"gain {gain}" for gain in gains) + " |"
    yield "|---" * (len(gains) + 1) + "|"
    for ratio in RATIOS:
        needed = [seeds_needed(gain, ratio) for gain in gains]
        yield f"| {ratio:g} | " + " | ".join(f"> {MOST_SEEDS}" if k is None else str(k) for k in needed) + " |"


if __name__ == "__main__":
    print("\n".join([*power_rows(), "", *seeds_rows()]))
