"""The rules that a system decides by, and the metrics of its decisions on any part of its images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.decision import called_classes, called_metrics
from skinlab.evaluation.evidence.decision_form import DecisionEvidence
from skinlab.evaluation.evidence.form import Optimism, SystemMetrics, ThresholdRow
from skinlab.evaluation.evidence.views import AT_HALF, OperatingRule
from skinlab.evaluation.metrics.operating_points import MOST_PROBABLE, OF_POSITIVE, called_words
from skinlab.evaluation.metrics.scorer import Scorer
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, Statistic, bootstrap
from skinlab.evaluation.statistics.trainings import Trainings
from skinlab.evaluation.thresholds.choice import is_fixed, positive_shares
from skinlab.evaluation.thresholds.decision import DecisionSettings
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import (
    BinaryPredictions,
    ThresholdSettings,
    frozen_cautions,
    optimism,
    threshold_table,
)
from skinlab.text import quantity

Ints = npt.NDArray[np.int64]

FEW_POSITIVES = 100
NO_OTHER_IMAGES = (
    "No threshold was chosen: there are no other images to choose it on, and a threshold chosen on the images it is "
    "reported on is optimistic; cross-fit it, python -m skinlab.evaluate … cross_fit=true, give a run with val, or "
    "name a fixed one, as in thresholds=[p>=0.3]."
)


def headline_rule(systems: Sequence[SystemMetrics]) -> str | None:
    """Return the rule of the headline, which is the first; None where a system has none, or another first one."""
    rules = {rows[0]["rule"] if (rows := system.get("thresholds")) else None for system in systems}
    return rules.pop() if len(rules) == 1 else None


def called_rule(systems: Sequence[SystemMetrics]) -> str | None:
    """Return the rule for the called class; None for the most probable class, or where systems have different ones."""
    rules = {rule["rule"] if (rule := system.get("decision")) else None for system in systems}
    return rules.pop() if len(rules) == 1 else None


def decision_point(decision: DecisionEvidence | None) -> str:
    """Name the operating point of the called class; the most probable class without a rule."""
    if decision is None:
        return MOST_PROBABLE
    return called_words(decision["rule"], cross_fitted=decision["applied_to"].startswith("cross-fitted"))


@dataclass(frozen=True)
class Decisions:
    """Decisions on N images by a rule.

    Attributes:
        rows: the images, in the classes that are decided between: two for the positive against the others.
        point: the operating point in words.
        names: of the metrics of these decisions.
        statistic: maps some of the images, their numbers ``(n,)``, to the metrics of the decisions on them under many
            weightings ``(n, B)``.
    """

    rows: Predictions
    point: str
    names: Sequence[str]
    statistic: Callable[[Ints], Statistic]

    def samples(self, part: Ints, *, n_draws: int, seed: int) -> BootstrapSamples:
        """Return the bootstrap samples of the metrics on some of the images, their numbers ``(n,)``."""
        rows = self.rows.take(part)
        resampler = Resampler(rows.group, rows.target, rows.classes)
        return bootstrap(self.statistic(part), resampler, n_draws=n_draws, seed=seed)

    def values(self, part: Ints) -> dict[str, float]:
        """Return the metrics on some of the images, their numbers ``(n,)``."""
        found = self.statistic(part)(np.ones((len(part), 1)))
        return {name: float(found[name][0]) for name in self.names}


@dataclass(frozen=True)
class Rules:
    """The rules that a system decides by; they are chosen on the mean of its trainings' probabilities.

    Attributes:
        view: returns the positive classes against the others; None where there is none.
        at: the operating point of the headline.
        decision: the rule for the called class; None for the most probable class.
        how: the settings of that rule.
    """

    view: Callable[[Predictions], Predictions | None]
    at: OperatingRule = AT_HALF
    decision: DecisionEvidence | None = None
    how: DecisionSettings = field(default_factory=DecisionSettings)

    def decisions(self, rows: Predictions) -> list[Decisions]:
        """Return the decisions on N images by the rules: of the mean of the trainings, or of one of them."""
        found, view = list[Decisions](), self.view(rows)
        if view is not None and self.at.thresholds is not None:
            found.append(decide_by_threshold(view, self.at))
        if self.decision is not None:
            found.append(decide_class(rows, called_classes(rows, self.decision, self.how), self.decision))
        return found

    def called(self, rows: Predictions) -> Ints | None:
        """Return the called class of N images ``(N,)`` by the rule; None for the most probable class."""
        return None if self.decision is None else called_classes(rows, self.decision, self.how)

    def missed(self, rows: Predictions) -> npt.NDArray[np.bool_] | None:
        """Return which of N images ``(N,)`` are positives that the rule does not find; None without a positive."""
        view = self.view(rows)
        if view is None:
            return None
        thresholds = np.full((len(view), 1), 0.5) if self.at.thresholds is None else self.at.thresholds
        return np.asarray((view.target == 1) & (positive_shares(view.probabilities[:, 1], thresholds) <= 0.5))

    @property
    def called_point(self) -> str:
        """The operating point of the called class in words; "" for the most probable class."""
        return "" if self.decision is None else decision_point(self.decision)

    def shared(self, systems: Sequence[SystemMetrics]) -> Rules:
        """Return the rules that all of some systems decide by."""
        return replace(
            self,
            at=self.at if headline_rule(systems) else AT_HALF,
            decision=self.decision if called_rule(systems) else None,
        )


NO_RULES = Rules(lambda _: None)


def trainings_at_rules(
    trainings: Trainings, tables: Sequence[Predictions], rules: Rules, *, n_draws: int, seed: int
) -> tuple[Trainings, dict[str, str]]:
    """Return the bootstrap samples of each training, those of decisions by the rules, and their operating points.

    Args:
        trainings: of a system.
        tables: of the same trainings.
        rules: that the system decides by.
        n_draws: bootstrap samples.
        seed: of the bootstrap samples.
    """
    found, points = dict(trainings.samples), dict[str, str]()
    for (key, own), table in zip(trainings.samples.items(), tables, strict=True):
        for each in rules.decisions(table):
            if each.rows.classes == table.classes:  # else of the positive ones of several classes
                decided = bootstrap(each.statistic(np.arange(len(table))), own.resampler, n_draws=n_draws, seed=seed)
                found[key] = found[key].with_metrics(decided, [name for name in each.names if name in own.estimate])
                points |= dict.fromkeys(each.names, each.point)
    return replace(trainings, samples=found), points


def decide_by_threshold(view: Predictions, at: OperatingRule) -> Decisions:
    """Return the decisions on N images of a binary view, the positive class last, at an operating point."""
    thresholds = np.full((len(view), 1), 0.5) if at.thresholds is None else at.thresholds
    predicted, truth = positive_shares(view.probabilities[:, 1], thresholds), view.target == 1
    return Decisions(
        view, at.point, OF_POSITIVE, lambda part: BinaryPredictions(predicted[part], truth[part], at.prevalence)
    )


def decide_class(rows: Predictions, called: Ints, decision: DecisionEvidence) -> Decisions:
    """Return the decisions on N images by the called classes ``(N,)``."""
    names, certain = called_metrics(rows.classes), np.eye(len(rows.classes))[called]
    return Decisions(
        rows,
        decision_point(decision),
        names,
        lambda part: Scorer(certain[part], rows.target[part], rows.classes, names=names),
    )


def evaluate_rules(
    view: Predictions,
    selection: Predictions | None,
    choice: ThresholdSettings,
    *,
    cross_fit: bool,
    names: tuple[str, str],
    n_draws: int,
) -> tuple[list[ThresholdRow] | None, list[FrozenThreshold], Optimism | None, list[str]]:
    """Return the table of threshold rules, the thresholds to freeze, the optimism of the best F1, and cautions.

    Rules that no images are there for, or that these don't allow, cost a caution; fixed thresholds need none.

    Args:
        view: the rows that are reported, two classes, the last one positive.
        selection: the rows to choose on; None where there are none.
        choice: the rules, for the classes ``positive``.
        cross_fit: whether they may be chosen on the reported rows of other groups.
        names: of the rows and of the selection.
        n_draws: bootstrap samples.

    Raises:
        ValueError: frozen thresholds can't be applied.
    """
    cautions: list[str] = []
    fixed = replace(choice, rules=[rule for rule in choice.rules if is_fixed(rule)])
    if selection is None and not cross_fit and not choice.frozen:
        cautions = [NO_OTHER_IMAGES] if len(fixed.rules) < len(choice.rules) else []
        choice = fixed
    how: dict[str, Any] = {"names": names, "n_draws": n_draws}
    try:
        table, thresholds = threshold_table(view, selection, choice, **how)
    except ValueError as error:
        if choice.frozen:
            raise
        place = names[0] if selection is None else names[1]
        cautions.append(f"No threshold for {', '.join(choice.positive or ())} was chosen on {place}: {error}.")
        choice = fixed
        table, thresholds = threshold_table(view, None, choice, **how)
    cautions += frozen_cautions(choice)
    uncertain = [row for row in table if row["positives"] is not None and row["positives"] < FEW_POSITIVES]
    if uncertain:
        chosen = ", ".join(f"{row['rule']} {row['threshold']:.3f}" for row in uncertain)
        positives = quantity(uncertain[0]["positives"] or 0, "positive")
        cautions.append(f"Thresholds chosen on {positives} are uncertain: {chosen}.")
    best = next((row for row in table if row["rule"] == "f1"), None)
    if best is None or choice.frozen:
        return table or None, thresholds, None, cautions
    where = "on other groups' images" if selection is None else "on validation images"
    found = optimism(view, best, choice, f"chosen {where}")
    cautions.append(
        "F1 at a threshold chosen on the evaluated images themselves would have been "
        "{same_rows:.3f}; at a threshold {how} it is {held_out:.3f}.".format(**found)
    )
    return table, thresholds, found, cautions
