"""Rules for the called class of an image: the class whose probability times a weight is largest.

Every rule is a set of weights, one a class, which all weights of one make the most probable class:

- ``prior:T`` weighs a class by its share in training to the power ``-T`` (Menon et al., 2021, "Long-tail learning via
  logit adjustment"; ``T = 1`` is the posterior at equal shares of Saerens et al., 2002). ``prior:auto`` chooses T.
- ``cost`` calls the class of least expected cost, where a missed image of a positive class costs ``cost_ratio`` times
  as much as one of another class (Elkan, 2001, "The foundations of cost-sensitive learning"), at a stated prevalence
  if there is one.
- ``thresholds`` chooses a weight for each class by coordinate ascent; of two classes that is one threshold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.overlap import refuse_overlap, row_keys
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.folds import group_folds, out_of_fold
from skinlab.evaluation.thresholds.frozen import CHOOSE_ELSEWHERE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DECIDE_BY = ("balanced_accuracy", "accuracy", "f1_macro")
POWERS = np.round(np.linspace(0, 1, 21), 2)
FACTORS = np.exp(np.linspace(-3, 3, 25))  # that a class's weight is tried with, in each round a third as far apart
ROUNDS = 3


def parse_decision(rule: str) -> tuple[str, float | None]:
    """Return a rule's kind and the power of ``prior:T`` (None for ``auto`` and the other rules).

    Raises:
        ValueError: it is no rule.

    >>> parse_decision("prior:0.5"), parse_decision("prior:auto"), parse_decision("argmax")
    (('prior', 0.5), ('prior', None), ('argmax', None))
    """
    if rule in ("argmax", "cost", "thresholds", "prior:auto"):
        return rule.partition(":")[0], None
    found = re.fullmatch(r"prior:(\d*\.?\d+)", rule)
    if found is None or float(found[1]) > 1:
        raise ValueError(f"decide={rule}: use argmax, prior:auto, prior:T with T from 0 to 1, cost or thresholds")
    return "prior", float(found[1])


@dataclass(frozen=True)
class DecisionSettings:
    """How the rule for the called class is chosen.

    Attributes:
        rule: see :func:`parse_decision`.
        decide_by: the metric that ``prior:auto`` and ``thresholds`` raise, one of ``DECIDE_BY``.
        cost_ratio: what a missed image of a positive class costs, in missed ones of another class, for ``cost``.
        positive: the positive classes, for ``cost``.
        prior: shares of the classes that the model was trained on, in their order; None: those of the rows.
        seed: of the folds of cross-fitting.
        prevalence: share of the positives in use, for ``cost``; None: that of ``prior``.
        corrected: whether the probabilities are those at the prevalence, so that no weight corrects them again.
    """

    rule: str = "argmax"
    decide_by: str = "balanced_accuracy"
    cost_ratio: float = 1.0
    positive: Sequence[str] = ()
    prior: Sequence[float] | None = None
    seed: int = 0
    prevalence: float | None = None
    corrected: bool = False

    @property
    def learns(self) -> bool:
        """Return whether the rule depends on rows, which then can't be reported on."""
        kind, power = parse_decision(self.rule)
        if kind == "cost":
            return self.prevalence is not None and self.prior is None and not self.corrected
        return kind == "thresholds" or (kind == "prior" and (power is None or self.prior is None))


@dataclass(frozen=True)
class Decision:
    """A rule for the called class as it is written to a file, with where it comes from.

    Attributes:
        rule: as it was set.
        decide_by: the metric it was chosen by.
        classes: C names.
        weights: ``(C,)``; the called class is that of the largest probability times weight.
        power: T of ``prior:T``; None for other rules.
        chosen_on: the rows it was chosen on, in words.
        rows: what tells them again, see :func:`skinlab.evaluation.overlap.row_keys`; {} where no rows had a part.
    """

    rule: str
    decide_by: str
    classes: list[str]
    weights: list[float]
    power: float | None = None
    chosen_on: str = ""
    rows: dict[str, str] = field(default_factory=dict)

    def __call__(self, probabilities: Floats, classes: Sequence[str]) -> Ints:
        """Return the number of the called class of each row, ``(N,)``.

        Args:
            probabilities: ``(N, C)``.
            classes: their names, in any order.

        Raises:
            ValueError: the rule is for other classes.

        >>> rule = Decision("prior:1", "balanced_accuracy", ["nv", "mel"], [1.25, 5.0], 1.0)
        >>> rule(np.array([[0.7, 0.3], [0.9, 0.1]]), ["nv", "mel"]).tolist()
        [1, 0]
        """
        return np.asarray((probabilities * self._in_order(classes)).argmax(1))

    def weighted(self, probabilities: Floats, classes: Sequence[str]) -> Floats:
        """Return the probabilities times the weights, rows summing to one: the called class is the most probable one.

        By ``prior:1`` they are the posterior at equal shares of the classes (Saerens et al., 2002).

        Args:
            probabilities: ``(N, C)``.
            classes: their names, in any order.

        Raises:
            ValueError: the rule is for other classes.

        >>> rule = Decision("prior:1", "balanced_accuracy", ["nv", "mel"], [1.0, 4.0], 1.0)
        >>> rule.weighted(np.array([[0.8, 0.2]]), ["nv", "mel"]).tolist()
        [[0.5, 0.5]]
        """
        mass = probabilities * self._in_order(classes)
        return np.asarray(mass / mass.sum(1, keepdims=True))

    def _in_order(self, classes: Sequence[str]) -> Floats:
        """Return the weights ``(C,)`` of classes in an order."""
        if set(classes) != set(self.classes):
            raise ValueError(
                f"the rule {self.rule} is for the classes {', '.join(self.classes)}, not {', '.join(classes)}: "
                "choose it on predictions of these classes"
            )
        of = dict(zip(self.classes, self.weights, strict=True))
        return np.array([of[name] for name in classes])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` described; ValueError where it is none."""
        names = [each.name for each in fields(cls)]
        if missing := [name for name in names if name not in values]:
            raise ValueError(f"a rule for the called class lacks {', '.join(missing)}: choose it again")
        decision = cls(**{name: values[name] for name in names})
        weights = np.asarray(decision.weights, np.float64)
        if weights.shape != (len(decision.classes),) or not np.isfinite(weights).all() or not (weights > 0).all():
            raise ValueError(f"{decision.weights} are no weights of {len(decision.classes)} classes: choose it again")
        return decision

    def refuse_same_rows(self, rows: Predictions) -> None:
        """Raise ValueError where it is to be applied to rows it was chosen on, or to others of their groups."""
        if self.rows:
            refuse_overlap(rows, self.rows, f"the rule {self.rule} ({self.chosen_on})", CHOOSE_ELSEWHERE)


def choose_decision(rows: Predictions, settings: DecisionSettings, chosen_on: str) -> Decision:
    """Return the rule of the settings, chosen on labelled rows where it depends on them.

    Of equally good powers the smallest is chosen, of equally good weights the one nearest to one.

    Args:
        rows: N predictions.
        settings: the rule.
        chosen_on: the rows in words.

    Raises:
        ValueError: the rule or its metric is none, or ``cost`` lacks positive classes.
    """
    kind, power = parse_decision(settings.rule)
    if settings.decide_by not in DECIDE_BY:
        raise ValueError(f"decide_by={settings.decide_by}: choose {', '.join(DECIDE_BY)}")
    weights = np.ones(len(rows.classes))
    if kind == "cost":
        if not settings.positive:
            raise ValueError("decide=cost needs the classes that are costly to miss: name them, as in 'positive=[mel]'")
        weights = np.where(np.isin(rows.classes, settings.positive), settings.cost_ratio, 1.0)
        if not settings.corrected:
            weights *= _to_prevalence(rows, settings)
    elif kind == "prior":
        prior = _prior(rows, settings.prior)
        if settings.corrected:
            prior *= _to_prevalence(rows, settings)
        power = _best_power(rows, prior, settings.decide_by) if power is None else power
        weights = prior**-power
    elif kind == "thresholds":
        weights = _best_weights(rows, settings.decide_by)
    return Decision(
        settings.rule,
        settings.decide_by,
        list(rows.classes),
        (weights / weights.min()).tolist(),
        power,
        f"{chosen_on}, {len(rows)} images" if settings.learns else "",
        row_keys(rows) if settings.learns else {},
    )


def cross_fitted_calls(rows: Predictions, settings: DecisionSettings) -> Ints:
    """Return the called class of each row ``(N,)`` by a rule that was chosen on other groups' rows, in five folds."""
    return out_of_fold(
        group_folds(rows.group, rows.target, seed=settings.seed),
        lambda held: choose_decision(rows.take(~held), settings, "other folds")(rows.probabilities[held], rows.classes),
    )


def _prior(rows: Predictions, prior: Sequence[float] | None) -> Floats:
    """Return the shares of the classes; those of the rows with one more row of each, so that none is zero."""
    if prior is None:
        counts = np.bincount(rows.target, minlength=len(rows.classes)) + 1.0
        return np.asarray(counts / counts.sum())
    shares = np.asarray(prior, np.float64)
    return np.asarray(np.maximum(shares, shares[shares > 0].min()))


def _to_prevalence(rows: Predictions, settings: DecisionSettings) -> Floats:
    """Return by what each class's share is multiplied ``(C,)`` for the stated prevalence; ones without it."""
    positive = np.isin(rows.classes, settings.positive)
    if settings.prevalence is None or not 0 < positive.sum() < len(positive):
        return np.ones(len(positive))
    return StatedPrevalence(settings.prevalence, positive).factors(_prior(rows, settings.prior))


def _best_power(rows: Predictions, prior: Floats, by: str) -> float:
    values = [_value((rows.probabilities * prior**-power).argmax(1), rows, by) for power in POWERS]
    return float(POWERS[int(np.argmax(values))])


def _best_weights(rows: Predictions, by: str) -> Floats:
    """Return weights by coordinate ascent in the logarithm, a class after the other."""
    weights = np.ones(len(rows.classes))
    best = _value(rows.probabilities.argmax(1), rows, by)
    for turn in range(ROUNDS):
        for i in range(len(weights)):
            for factor in sorted(FACTORS ** (3.0**-turn), key=lambda each: abs(np.log(each))):
                tried = weights.copy()
                tried[i] *= factor
                value = _value((rows.probabilities * tried).argmax(1), rows, by)
                if value > best + 1e-12:
                    best, weights = value, tried
    return weights


def _value(called: Ints, rows: Predictions, by: str) -> float:
    """Return a metric of called classes, as the registry defines it."""
    n = len(rows.classes)
    confusion = np.bincount(rows.target * n + called, minlength=n * n).reshape(n, n)
    right, support = np.diag(confusion), confusion.sum(1)
    there = support > 0
    if by == "accuracy":
        return float(right.sum() / support.sum())
    if by == "f1_macro":
        return float((2 * right / np.maximum(support + confusion.sum(0), 1))[there].mean())
    return float((right[there] / support[there]).mean())
