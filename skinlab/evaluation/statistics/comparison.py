"""Systems on the same images: the difference of every metric, with the variance of the images and of the trainings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from skinlab.evaluation.evidence import comparison_form
from skinlab.evaluation.metrics.operating_points import operating_point
from skinlab.evaluation.metrics.registry import bounds, direction, metric_in_sentence
from skinlab.evaluation.statistics.estimates import LEVEL, Estimate
from skinlab.evaluation.statistics.hypotheses import DIFFERENCE, Hypothesis
from skinlab.evaluation.statistics.p_values import holm_by_family, p_in_words
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate
from skinlab.processes.progress import track

T = TypeVar("T")
Role = Literal["primary", "secondary"]
Named = tuple[str, Trainings]


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
        point: the operating point of a metric of decisions, where it is that of a rule.
        of_tables: those of the two systems that are tables of predictions whose origin is not known.
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
    point: str = ""
    of_tables: tuple[str, ...] = ()

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
            "operating_point": self.point or operating_point(self.metric),
            "difference": found.interval().to_dict(),
            "variance_rows": found.variance_rows,
            "variance_trainings": found.variance_trainings,
            "trainings": list(self.trainings),
            "paired_trainings": found.paired,
            "claim": "predictions" if self.of_tables else "weights" if min(self.trainings) < 2 else "recipe",
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
        value, metric = self.difference.value, metric_in_sentence(self.metric, point=self.point or True)
        if not np.isfinite(self.p):
            reason = self.difference.note or "it has no value here"
            return f"{self.a} and {self.b} can't be compared by {metric}: {reason}."
        if self.difference.standard_error == 0 and value == 0:
            same = f"{self._start()}{self.a} and {self.b} have the same {metric} on every bootstrap sample"
            test = "" if self.hypothesis == DIFFERENCE else f", too little for a test of {self.hypothesis.test}"
            return f"{same}: how much the difference varies is not known{test}."
        if self.role == "secondary":
            return f"Secondary endpoint {metric}: {self._minus(self.a)}{self._claim()}."
        if self.hypothesis.kind != "superiority" or self.hypothesis.margin:
            return f"{self._start()}{self._margin_sentence(metric)}"
        if self.significant:
            found = "higher" if value > 0 else "lower"
            if direction(self.metric) == "min":
                found += ", worse" if value > 0 else ", better"
            return (
                f"{self._start()}{self.a} has a {found} {metric} than {self.b}: {self._minus(self.a)}{self._claim()}."
            )
        alone = " Its interval excludes zero, but counts this comparison alone." if self._excludes_zero() else ""
        return (
            f"{self._start()}No evidence that {self.a} and {self.b} differ in {metric}: {self._minus(self.a)}"
            f"{self._claim()}. {detectable_sentence(self.detectable, self.metric, self._lack)}{alone}"
        )

    def _start(self) -> str:
        return "Primary endpoint: " if self.role == "primary" else ""

    def _excludes_zero(self) -> bool:
        return self.difference.low * self.difference.high > 0

    def _minus(self, first: str) -> str:
        """Return the difference with its interval and p, the system that is named first minus the other."""
        bound = p_in_words(self.p_holm, self.p <= self.difference.p_floor)
        second, found = (self.b, self.difference) if first == self.a else (self.a, self.difference.reversed())
        return f"{first} minus {second} is {found.in_words()}, corrected p {bound}"

    @property
    def _lack(self) -> str:
        """What would make smaller differences detectable: a single training has images alone in its variance."""
        return "trainings" if min(self.trainings) > 1 else "images"

    def _claim(self) -> str:
        """Say what the trainings allow to conclude about."""
        k_a, k_b = self.trainings
        if self.of_tables:
            of = "" if k_a == k_b == 1 else f" of {self.of_tables[0]}"
            return f", of these predictions{of} alone"
        if k_a == k_b == 1:
            return ", of these weights (one training each), not of the recipes"
        if min(k_a, k_b) == 1:
            one = self.a if k_a == 1 else self.b
            return f", of the weights of {one} (one training), not of its recipe"
        each = f"{k_a} trainings each" if k_a == k_b else f"{k_a} and {k_b} trainings"
        return f", images and {each} counted"

    def _margin_sentence(self, metric: str) -> str:
        """Return the result of a test against a margin."""
        gain = -self.difference.value if direction(self.metric) == "min" else self.difference.value
        first, second = self.hypothesis.ordered(self.a, self.b, gain)
        result = self.hypothesis.result(first, second, metric, significant=self.significant, level=self.level)
        if not self._start() and not self.significant:
            result = f"N{result[1:]}"
        return f"{result}: {self._minus(first)}{self._claim()}."


def detectable_sentence(difference: float, metric: str, lack: str = "trainings") -> str:
    """Say in plain words what the detectable difference is; one beyond the metric's range is none.

    Args:
        difference: that is detectable.
        metric: its name.
        lack: what a smaller one needs more of.

    >>> detectable_sentence(0.0312, "auroc_macro")
    'A true difference of 0.031 would be found in four of five such comparisons, a smaller one less often.'
    >>> detectable_sentence(1.3, "auroc_macro")
    'No difference is large enough to be found in four of five such comparisons: more trainings are needed.'
    """
    if not np.isfinite(difference):
        return "What difference would be found is not known: these images show no variation."
    least, most = bounds(metric)
    if difference > most - least:
        return f"No difference is large enough to be found in four of five such comparisons: more {lack} are needed."
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
    points: Mapping[str, str] | None = None,
    of_tables: Collection[str] = (),
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
        points: metric → its operating point, where it is that of a rule.
        of_tables: names of the systems that are tables of predictions whose origin is not known.
    """
    points = points or {}
    metrics = list(dict.fromkeys([*([endpoint.metric] if endpoint else []), *metrics]))
    found = []
    pairs = pairs_of(systems, reference, endpoint)
    for (name_a, a), (name_b, b) in track(pairs, "comparing pairs of systems", len(pairs)):
        for metric in metrics:
            if all(metric in each.estimate for s in (a, b) for each in s.samples.values()):
                difference = difference_estimate(a, b, metric, level)
                if hypothesis_of(metric, endpoint) != DIFFERENCE:
                    difference = difference.against_margins(level)
                found.append((name_a, name_b, metric, difference, (len(a), len(b))))
    roles = [role_of(metric, endpoint) for _, _, metric, _, _ in found]
    tested = [hypothesis_of(metric, endpoint) for _, _, metric, _, _ in found]
    p = [each.p_value(row[3], row[2]) for each, row in zip(tested, found, strict=True)]
    p_holm, level_of = holm_by_family(p, roles), np.full(len(found), level)
    for role in set(roles):
        members = np.array([each == role for each in roles])
        level_of[members] = 1 - (1 - level) / max(np.isfinite(p)[members].sum(), 1)
    return [
        Comparison(
            *row,
            float(p[i]),
            p_holm[i],
            row[3].detectable(level_of[i]),
            tested[i],
            roles[i],
            level,
            points.get(row[2], ""),
            tuple(name for name in row[:2] if name in of_tables),
        )
        for i, row in enumerate(found)
    ]


def pairs_of(
    systems: Sequence[tuple[str, T]], reference: str | None, endpoint: Endpoint | None = None
) -> list[tuple[tuple[str, T], tuple[str, T]]]:
    """Return the pairs of systems with a name, the later one first.

    Where the claim is non-inferiority, the reference is the second.

    >>> [(a, b) for (a, _), (b, _) in pairs_of([("x", 1), ("y", 2), ("z", 3)], "x")]
    [('y', 'x'), ('z', 'x')]
    """
    pairs = [
        (a, b)
        for i, b in enumerate(systems)
        for a in systems[i + 1 :]
        if reference is None or reference in (a[0], b[0])
    ]
    if endpoint is None or endpoint.hypothesis.kind != "noninferiority":
        return pairs
    return [(b, a) if a[0] == reference else (a, b) for a, b in pairs]


def role_of(metric: str, endpoint: Endpoint | None) -> Role | None:
    """Return whether a metric is the primary endpoint or a secondary one; None where none was declared."""
    return None if endpoint is None else "primary" if metric == endpoint.metric else "secondary"


def hypothesis_of(metric: str, endpoint: Endpoint | None) -> Hypothesis:
    """Return what is tested of a metric: the endpoint's hypothesis of the endpoint, a difference of all others."""
    return endpoint.hypothesis if endpoint and metric == endpoint.metric else DIFFERENCE
