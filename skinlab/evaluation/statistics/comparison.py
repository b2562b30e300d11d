"""Systems on the same images: the difference of every metric, with the variance of the images and of the trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from skinlab.evaluation.evidence import comparison_form
from skinlab.evaluation.metrics.registry import bounds, direction, metric_in_sentence
from skinlab.evaluation.statistics.estimates import LEVEL, Estimate
from skinlab.evaluation.statistics.hypotheses import Hypothesis
from skinlab.evaluation.statistics.p_values import holm, p_in_words
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate

Role = Literal["primary", "secondary"]
Named = tuple[str, Trainings]
DIFFERENCE = Hypothesis()


@dataclass(frozen=True)
class Endpoint:
    """The primary endpoint, declared before the systems were compared: a metric, and what is claimed of it."""

    metric: str
    hypothesis: Hypothesis = DIFFERENCE

    def to_dict(self) -> comparison_form.Endpoint:
        """Return plain values by their names in ``evidence.json``."""
        return {"metric": self.metric, "hypothesis": self.hypothesis.kind, "margin": self.hypothesis.margin}


@dataclass(frozen=True)
class Comparison:
    """How much a metric of system ``a`` exceeds that of system ``b``.

    Attributes:
        difference: a minus b.
        trainings: number of trainings of a and of b.
        p: of the hypothesis.
        p_holm: the same after Holm's correction over its family of comparisons.
        detectable: the smallest true difference that has 80 % power after the correction.
        hypothesis: what is tested.
        role: ``primary`` or ``secondary`` endpoint; None where no endpoint was declared.
        level: of the interval.
    """

    a: str
    b: str
    metric: str
    difference: Estimate
    trainings: tuple[int, int]
    p: float
    p_holm: float
    detectable: float
    hypothesis: Hypothesis = DIFFERENCE
    role: Role | None = None
    level: float = LEVEL

    @property
    def significant(self) -> bool:
        """Whether the corrected p is within the error rate."""
        return bool(self.p_holm <= self.hypothesis.error_rate(self.level))

    def to_dict(self) -> comparison_form.Comparison:
        """Return plain values and the sentence by their names in ``evidence.json``."""
        found = self.difference
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.metric,
            "difference": found.interval().to_dict(),
            "variance_rows": found.variance_rows,
            "variance_trainings": found.variance_trainings,
            "trainings": list(self.trainings),
            "paired_trainings": found.paired,
            "claim": "weights" if min(self.trainings) < 2 else "recipe",
            "role": self.role,
            "hypothesis": self.hypothesis.kind,
            "margin": self.hypothesis.margin,
            "p": self.p,
            "p_holm": self.p_holm,
            "p_floor": found.p_floor,
            "significant": self.significant,
            "detectable": self.detectable,
            "sentence": self.sentence(),
        }

    def sentence(self) -> str:
        """Return the result of the comparison as a sentence."""
        value, metric = self.difference.value, metric_in_sentence(self.metric)
        if not np.isfinite(self.p):
            reason = self.difference.note or "it has no value here"
            return f"{self.a} and {self.b} can't be compared by {metric}: {reason}."
        if self.difference.standard_error == 0 and value == 0:
            return f"{self.a} and {self.b} have the same {metric} on every bootstrap sample."
        if self.role == "secondary":
            return f"Secondary endpoint {metric}: {self.a} minus {self.b} is {self._numbers()}{self._claim()}."
        if self.hypothesis.kind != "superiority" or self.hypothesis.margin:
            return f"{self._start()}{self._margin_sentence(metric)}"
        if self.significant:
            higher, lower = (self.a, self.b) if value > 0 else (self.b, self.a)
            better = f"{higher} has a higher {metric} than {lower}"
            if direction(self.metric) == "min":
                better = f"{lower} has a lower, better {metric} than {higher}"
            return f"{self._start()}{better}: {self.a} minus {self.b} is {self._numbers()}{self._claim()}."
        alone = " Its interval excludes zero, but counts this comparison alone." if self._excludes_zero() else ""
        return (
            f"{self._start()}No evidence that {self.a} and {self.b} differ in {metric}: {self._numbers()}"
            f"{self._claim()}. {detectable_sentence(self.detectable, self.metric)}{alone}"
        )

    def _start(self) -> str:
        return "Primary endpoint: " if self.role == "primary" else ""

    def _excludes_zero(self) -> bool:
        return self.difference.low * self.difference.high > 0

    def _numbers(self) -> str:
        bound = p_in_words(self.p_holm, self.p <= self.difference.p_floor)
        return f"{self.difference.in_words()}, corrected p {bound}"

    def _claim(self) -> str:
        """Say what the trainings allow to conclude about."""
        k_a, k_b = self.trainings
        if k_a == k_b == 1:
            return ", of these weights (one training each), not of the recipes"
        if min(k_a, k_b) == 1:
            one = self.a if k_a == 1 else self.b
            return f", of the weights of {one} (one training), not of its recipe"
        each = f"{k_a} trainings each" if k_a == k_b else f"{k_a} and {k_b} trainings"
        return f", images and {each} counted"

    def _margin_sentence(self, metric: str) -> str:
        """Return the result of a test against a margin."""
        kind, margin = self.hypothesis.kind, f"{self.hypothesis.margin:g}"
        better = (self.difference.value > 0) != (direction(self.metric) == "min")
        first, second = (self.a, self.b) if kind == "noninferiority" or better else (self.b, self.a)
        claim = {
            "superiority": f"{first} is better than {second} by more than {margin}",
            "noninferiority": f"{first} is not inferior to {second} by {margin} or more",
            "equivalence": f"{first} and {second} are equivalent within {margin}",
        }[kind]
        test = {"superiority": "superiority", "noninferiority": "non-inferiority", "equivalence": "equivalence"}[kind]
        sided = "" if kind == "superiority" else f", one-sided at {self.hypothesis.error_rate(self.level):g}"
        result = claim if self.significant else f"no evidence that {claim}"
        if not self._start() and not self.significant:
            result = f"N{result[1:]}"
        return (
            f"{result} in {metric} "
            f"(test of {test}{sided}): {self.a} minus {self.b} is {self._numbers()}{self._claim()}."
        )


def detectable_sentence(difference: float, metric: str) -> str:
    """Say in plain words what the detectable difference is; one beyond the metric's range is none.

    >>> detectable_sentence(0.0312, "auroc_macro")
    'A true difference of 0.031 would be found in four of five such comparisons, a smaller one less often.'
    >>> detectable_sentence(1.3, "auroc_macro")
    'No difference is large enough to be found in four of five such comparisons: more trainings are needed.'
    """
    least, most = bounds(metric)
    if difference > most - least:
        return "No difference is large enough to be found in four of five such comparisons: more trainings are needed."
    return (
        f"A true difference of {difference:.3f} would be found in four of five such comparisons, a smaller one less "
        "often."
    )


def compare(
    systems: Sequence[Named],
    metrics: Sequence[str],
    level: float = LEVEL,
    reference: str | None = None,
    endpoint: Endpoint | None = None,
) -> list[Comparison]:
    """Compare every pair of systems, or each with a reference, on bootstrap samples that they share.

    Holm's correction runs over all comparisons of the call; with an endpoint, over those by the endpoint, which alone
    carry a claim, and apart from them over the secondary ones.

    Args:
        systems: name and trainings of each, their bootstrap samples made with one resampler and seed.
        metrics: names of the metrics to compare by.
        level: 1 - level is the error rate.
        reference: the system that all others are compared with, every pair by default. The earlier one of a pair is
            subtracted from the later; the reference from the other, where the claim is non-inferiority.
        endpoint: declared before.
    """
    metrics = list(dict.fromkeys([*([endpoint.metric] if endpoint else []), *metrics]))
    found = []
    for (name_a, a), (name_b, b) in _pairs(systems, reference, endpoint):
        for metric in metrics:
            if all(metric in each.estimate for s in (a, b) for each in s.samples.values()):
                found.append((name_a, name_b, metric, difference_estimate(a, b, metric, level), (len(a), len(b))))
    roles = [_role(metric, endpoint) for _, _, metric, _, _ in found]
    tested = [endpoint.hypothesis if endpoint and role == "primary" else Hypothesis() for role in roles]
    p = np.array([each.p_value(row[3], row[2]) for each, row in zip(tested, found, strict=True)])
    p_holm, level_of = np.full(len(found), np.nan), np.full(len(found), level)
    for role in set(roles):
        members = np.array([i for i, each in enumerate(roles) if each == role])
        p_holm[members] = holm(p[members].tolist())
        level_of[members] = 1 - (1 - level) / max(np.isfinite(p[members]).sum(), 1)
    return [
        Comparison(*row, float(p[i]), float(p_holm[i]), row[3].detectable(level_of[i]), tested[i], roles[i], level)
        for i, row in enumerate(found)
    ]


def _pairs(systems: Sequence[Named], reference: str | None, endpoint: Endpoint | None) -> list[tuple[Named, Named]]:
    """Return the pairs, the later system first; where the claim is non-inferiority, the reference is the second."""
    pairs = [
        (a, b)
        for i, b in enumerate(systems)
        for a in systems[i + 1 :]
        if reference is None or reference in (a[0], b[0])
    ]
    if endpoint is None or endpoint.hypothesis.kind != "noninferiority":
        return pairs
    return [(b, a) if a[0] == reference else (a, b) for a, b in pairs]


def _role(metric: str, endpoint: Endpoint | None) -> Role | None:
    return None if endpoint is None else "primary" if metric == endpoint.metric else "secondary"
