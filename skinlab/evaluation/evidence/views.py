"""Views of a system's predictions whose metrics are computed on parts or units of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.ensembles.pooling import mean_predictions
from skinlab.evaluation.evidence.decision import called_metrics
from skinlab.evaluation.evidence.form import ThresholdRow
from skinlab.evaluation.evidence.interval_form import DecisionCounts
from skinlab.evaluation.metrics.metric import Place
from skinlab.evaluation.metrics.operating_points import HALF, threshold_words
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.evaluation.metrics.scorer import MeanScorer, Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.intervals import Variance
from skinlab.evaluation.statistics.trainings import Trainings
from skinlab.evaluation.thresholds.choice import positive_shares
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import BinaryPredictions, row_thresholds
from skinlab.evaluation.thresholds.utility import f1_at_prevalence, npv_at_prevalence, ppv_at_prevalence

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class OperatingRule:
    """The operating point of the headline, at which decisions of the binary view are.

    Attributes:
        rule: such as ``f1``; None for a probability of 0.5.
        thresholds: of each image, ``(N, R)``, see :class:`View`; None without a rule.
        point: in words.
        prevalence: share of positives that PPV, NPV and F1 are stated for; None: that of the images.
    """

    rule: str | None = None
    thresholds: Floats | None = None
    point: str = HALF
    prevalence: float | None = None


AT_HALF = OperatingRule()


def operating_rule(
    view: Predictions | None,
    table: Sequence[ThresholdRow] | None,
    thresholds: Sequence[FrozenThreshold],
    prevalence: float | None,
    seed: int,
) -> OperatingRule:
    """Return the operating point of the headline, that of the first rule where there is one.

    Args:
        view: the positive classes against the others; None where there is none.
        table: of the rules.
        thresholds: of the same rules.
        prevalence: see :class:`OperatingRule`.
        seed: of the folds.
    """
    if view is None or not table:
        return OperatingRule(prevalence=prevalence)
    first, cross_fit = thresholds[0], table[0]["applied_to"].startswith("cross-fitted")
    point = threshold_words(first.rule, first.threshold, cross_fitted=cross_fit)
    return OperatingRule(
        first.rule, row_thresholds(view, first, cross_fit=cross_fit, seed=seed), point, prevalence=prevalence
    )


@dataclass(frozen=True)
class View:
    """Predictions of one system in one view: all classes, or the positive ones against the others.

    Attributes:
        tables: of the same rows; metrics are the mean over them.
        names: of the metrics.
        thresholds: of the rule at which sensitivity, specificity, PPV, NPV and F1 of the positive are, ``(N, R)`` of
            each row, on the mean of the tables' probabilities; None for a probability of 0.5.
        prevalence: share of positives that PPV, NPV and F1 of the positive are stated for; None: that of the rows.
        called: class number of each row ``(N,)`` by a rule for the called class; None for the most probable class.
        overlap: of the trainings that the tables are of, see :class:`Trainings`.
        weighting: from weights ``(N, B)`` of all rows to those of another case mix; None to leave them as they are.
    """

    tables: Sequence[Predictions]
    names: list[str]
    thresholds: Floats | None = None
    prevalence: float | None = None
    called: Ints | None = None
    overlap: float = 0.0
    weighting: Callable[[Floats], Floats] | None = None

    def samples(self, rows: Bools, *, seed: int) -> BootstrapSamples:
        """Return the bootstrap samples of the metrics of some rows, averaged over the tables.

        Their intervals count the variance between the tables, but for decisions by a rule: those are of the mean of
        the probabilities.
        """
        parts = [table.take(rows) for table in self.tables]
        first = parts[0]
        at = None if self.weighting is None else self.weighting(np.ones((len(first), 1)))[:, 0]
        scorers = [
            Scorer(part.probabilities, part.target, part.classes, names=self.names, fit_weights=at) for part in parts
        ]
        resampler = Resampler(first.group, first.target, first.classes)
        mean, decided = MeanScorer(scorers), self._decided(rows, parts)
        plain = mean if decided is None else AtRule(mean, decided)
        statistic = plain if self.weighting is None else Reweighted(plain, self.weighting)
        found = at_prevalence(bootstrap(statistic, resampler, n_draws=DRAWS, seed=seed), self.prevalence)
        return replace(found, trainings=self._between(scorers, decided, len(first)))

    def counts(self) -> DecisionCounts | None:
        """Return the decisions by the threshold of the rule, counted; None without a rule."""
        decided = self._decided(np.ones(len(self.tables[0]), bool), self.tables)
        return decided.counts() if isinstance(decided, BinaryPredictions) else None

    def _decided(self, rows: Bools, parts: Sequence[Predictions]) -> BinaryPredictions | Scorer | None:
        """Return the metrics of the decisions by the rule on some rows; None without a rule."""
        first = parts[0]
        if self.thresholds is not None:
            predicted = positive_shares(mean_predictions(parts).probabilities[:, -1], self.thresholds[rows])
            return BinaryPredictions(predicted, first.target == 1)
        if self.called is not None:
            certain, names = np.eye(len(first.classes))[self.called[rows]], called_metrics(first.classes)
            return Scorer(certain, first.target, first.classes, names=[name for name in names if name in self.names])
        return None

    def _between(
        self, scorers: Sequence[Scorer], decided: BinaryPredictions | Scorer | None, n_rows: int
    ) -> dict[str, Variance]:
        """Return name → the variance of the mean over the tables; nothing of one table, and of decisions by a rule."""
        once = np.ones((n_rows, 1))
        by_rule = set() if decided is None else set(decided(once))
        each = [_shifted(scorer(once), self.prevalence) for scorer in scorers]
        values = {name: [float(found[name][0]) for found in each] for name in each[0] if name not in by_rule}
        trainings = Trainings({}, self.overlap)
        return {name: part for name, of_each in values.items() for part in trainings.part(of_each)}

    def groups_per_class(self, rows: Bools) -> npt.NDArray[np.int64]:
        """Return the number of groups of each class ``(C,)`` among some rows."""
        first = self.tables[0]
        group, target = first.group[rows].astype(str), first.target[rows]
        return np.array([len(np.unique(group[target == c])) for c in range(len(first.classes))])


class AtRule:
    """Metrics of a view, those of its decisions by a rule.

    Args:
        scorer: of all metrics, at a probability of 0.5 or of the most probable class.
        decisions: at the rule's threshold, or its called classes.
    """

    def __init__(self, scorer: MeanScorer, decisions: BinaryPredictions | Scorer) -> None:
        self.scorer, self.decisions = scorer, decisions

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        found, at_rule = self.scorer(weights), self.decisions(weights)
        return found | {name: value for name, value in at_rule.items() if name in found}

    def shares(self) -> dict[str, Bools]:
        """Return name → the rows ``(N,)`` that a metric which is a share is taken over."""
        found, at_rule = self.scorer.shares(), self.decisions.shares()
        return found | {name: rows for name, rows in at_rule.items() if name in found}


class Reweighted:
    """Metrics under weightings of another case mix.

    They are no shares of so many images: the number of images that they are worth follows from their variance alone.

    Args:
        statistic: of the images.
        weighting: from weights ``(N, B)`` to those at the case mix.
    """

    def __init__(self, statistic: MeanScorer | AtRule, weighting: Callable[[Floats], Floats]) -> None:
        self.statistic, self.weighting = statistic, weighting

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        return self.statistic(self.weighting(weights))


def all_classes(tables: Sequence[Predictions], place: Place, called: Ints | None = None, overlap: float = 0.0) -> View:
    """Return the view of all classes, with the metrics shown in a place; ``called`` and ``overlap`` as of a view."""
    return View(tables, [metric.name for metric in shown_metrics(place, "all")], called=called, overlap=overlap)


def positive_classes(
    views: Sequence[Predictions],
    place: Place,
    thresholds: Floats | None = None,
    prevalence: float | None = None,
    overlap: float = 0.0,
) -> View | None:
    """Return the view of the positive classes, with the metrics shown in a place; None where no class is positive.

    ``thresholds`` are those of the rule, see :class:`View`, as are ``prevalence`` and ``overlap``.
    """
    if not views:
        return None
    names = [metric.name for metric in shown_metrics(place, "positive")]
    per_class = shown_metrics(place if place == "subgroups" else "positive_view", "class")
    names += [f"{metric.name}/{views[0].classes[-1]}" for metric in per_class]
    return View(views, names, thresholds, prevalence, overlap=overlap)


def at_prevalence(samples: BootstrapSamples, prevalence: float | None) -> BootstrapSamples:
    """Re-weight PPV, NPV and F1 of a binary view to another share of positives; None: leave them as they are."""
    if prevalence is None or not {"ppv", "npv", "f1_positive"} & samples.estimate.keys():
        return samples
    shifted = partial(_shifted, prevalence=prevalence)
    estimate = shifted({name: np.asarray(value) for name, value in samples.estimate.items()})
    return replace(
        samples,
        estimate={name: float(value) for name, value in estimate.items()},
        values=shifted(samples.values),
        left_out=shifted(samples.left_out),
        shares={name: size for name, size in samples.shares.items() if name not in ("ppv", "npv")},
    )


def _shifted(values: Mapping[str, Floats], prevalence: float | None) -> dict[str, Floats]:
    """Return the metrics with PPV, NPV and F1, those that are there, at a share of positives; None leaves them."""
    functions = {"ppv": ppv_at_prevalence, "npv": npv_at_prevalence, "f1_positive": f1_at_prevalence}
    functions = {name: function for name, function in functions.items() if name in values}
    if prevalence is None or not functions:
        return dict(values)
    rates = values["sensitivity"], values["specificity"]
    return {**values, **{name: function(*rates, prevalence) for name, function in functions.items()}}
