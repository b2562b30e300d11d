"""What a comparison tests: a difference, superiority by a margin, non-inferiority, or equivalence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from skinlab.evaluation.metrics.registry import direction
from skinlab.evaluation.statistics.estimates import LEVEL, Estimate, tail_probability

Kind = Literal["superiority", "noninferiority", "equivalence"]


@dataclass(frozen=True)
class Hypothesis:
    """The claim that a comparison may support.

    All are decided by one interval of the difference (Piaggio et al., 2012, CONSORT's extension): superiority where
    it lies beyond the margin, non-inferiority where it lies above minus the margin, equivalence where it lies within
    the margins (two one-sided tests, Schuirmann, 1987). The latter two have one-sided p-values, whose error rate is
    half of one minus the interval's level. The variance of shares, such as sensitivity, is that at the margin (Tango,
    1998).

    Attributes:
        kind: of the claim.
        margin: in units of the metric; the least difference that matters.
    """

    kind: Kind = "superiority"
    margin: float = 0.0

    def p_value(self, found: Estimate, metric: str) -> float:
        """Return the p of the claim; NaN where the difference has none.

        Superiority by a margin is never more certain than a difference.
        """
        if not np.isfinite(found.p) or (self.kind == "superiority" and not self.margin):
            return found.p
        if self.kind == "superiority":
            beyond = _tail(found, abs(found.value) - self.margin, np.copysign(self.margin, found.value))
            return min(1.0, max(2 * beyond, found.p))
        sign = -1 if direction(metric) == "min" else 1
        p = _tail(found, self.margin + sign * found.value, -sign * self.margin)
        if self.kind == "equivalence":
            p = max(p, _tail(found, self.margin - sign * found.value, sign * self.margin))
        return min(1.0, max(p, found.p_floor))

    def ordered(self, a: str, b: str, gain: float) -> tuple[str, str]:
        """Return two systems in the order of the claim: the better one first, but for non-inferiority.

        Args:
            a: system.
            b: system that it is compared with.
            gain: of a over b.
        """
        return (a, b) if self.kind == "noninferiority" or gain > 0 else (b, a)

    def result(self, first: str, second: str, metric: str, *, significant: bool, level: float = LEVEL) -> str:
        """Return the result of the test against the margin, from "no evidence" on in lower case.

        Args:
            first: system, see :meth:`ordered`.
            second: the other one.
            metric: in words.
            significant: whether the claim holds.
            level: see :meth:`error_rate`.

        >>> Hypothesis("noninferiority", 0.02).result("new", "old", "macro AUROC", significant=True)
        'new is not inferior to old by 0.02 or more in macro AUROC (test of non-inferiority, one-sided at 0.025)'
        """
        claim = {
            "superiority": f"{first} is better than {second} by more than {self.margin:g}",
            "noninferiority": f"{first} is not inferior to {second} by {self.margin:g} or more",
            "equivalence": f"{first} and {second} are equivalent within {self.margin:g}",
        }[self.kind]
        sided = "" if self.kind == "superiority" else f", one-sided at {self.error_rate(level):g}"
        return f"{claim if significant else f'no evidence that {claim}'} in {metric} (test of {self.test}{sided})"

    @property
    def test(self) -> str:
        """What is tested, in words."""
        return self.kind.replace("noninf", "non-inf")

    def error_rate(self, level: float = LEVEL) -> float:
        """Return what the corrected p must not exceed."""
        return round((1 - level) / (1 if self.kind == "superiority" else 2), 12)


DIFFERENCE = Hypothesis()


def _tail(found: Estimate, distance: float, margin: float) -> float:
    """Return the one-sided p of a distance from a margin; 1 where the images show no variation to measure it by.

    Args:
        found: the difference.
        distance: of the difference from the margin, to the side that is claimed.
        margin: the true difference at which the claim just fails.
    """
    if found.standard_error == 0:
        return 1.0
    parts = found.parts_at(margin)
    return tail_probability(parts, distance / sum(part.value for part in parts) ** 0.5)
