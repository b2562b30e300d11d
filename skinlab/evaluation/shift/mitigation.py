"""Compare recipes by what harms patients outside, and by what they cost at home."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.metrics.ranking import Ranking
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.flags import number, span
from skinlab.evaluation.shift.form import Change, Condition, Table, TableRow
from skinlab.evaluation.shift.origin import Side
from skinlab.evaluation.shift.yardstick import DRAWS, LEAST_P, Yardstick
from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap
from skinlab.evaluation.statistics.p_values import holm, p_in_words
from skinlab.evaluation.statistics.trainings import Trainings, difference_estimate, metric_estimate

Floats = npt.NDArray[np.float64]

AT_SPECIFICITY = "sensitivity_at_specificity"
LEAST, MOST = 0.5, 0.95  # specificity at which recipes are compared unless one is set
MARGIN = 0.05  # of specificity, either side of the model's: one specificity of a small set is that of a few images
AT_HOME, OUTSIDE = "at home", "outside"
COST = ("auroc/positive", "balanced_accuracy")


@dataclass(frozen=True)
class Training:
    """What one training predicts.

    Attributes:
        key: of its seed and fold, by which trainings of two recipes are paired.
        yardstick: with the threshold that was frozen on its own validation images.
        home: its predictions at home.
        outside: its predictions outside.
    """

    key: Hashable
    yardstick: Yardstick
    home: Side
    outside: Side


@dataclass(frozen=True)
class Recipe:
    """The trainings of a recipe, each on the same images at home and the same outside.

    Attributes:
        name: what tells it from the others, such as ``augment=colour``.
        trainings: of it.
    """

    name: str
    trainings: Sequence[Training]

    @cached_property
    def measured(self) -> Mapping[str, Mapping[str, Trainings]]:
        """Return place → metric → its bootstrap samples of every training."""
        found = {}
        for place in (AT_HOME, OUTSIDE):
            each = {t.key: (t.home if place == AT_HOME else t.outside).samples(t.yardstick) for t in self.trainings}
            names = set.intersection(*(set(samples) for samples in each.values()))
            found[place] = {
                name: Trainings({key: samples[name] for key, samples in each.items()})
                for name in next(iter(each.values()))
                if name in names
            }
        return found

    def specificity(self) -> float:
        """Return the specificity outside at the frozen thresholds, the mean of the trainings."""
        return float(np.mean(self.measured[OUTSIDE]["specificity"].values("specificity")))

    def at(self, low: float, high: float, seed: int) -> Trainings:
        """Return the bootstrap samples of the mean sensitivity outside at specificities from low to high."""
        return Trainings(
            {
                each.key: bootstrap(
                    AtSpecificity(view := each.yardstick.view(each.outside.table), low, high),
                    Resampler(view.group, view.target, view.classes),
                    n_draws=DRAWS,
                    seed=seed,
                )
                for each in self.trainings
            }
        )


class AtSpecificity:
    """The mean sensitivity over a range of specificities, under many weightings.

    Args:
        view: two classes, the last one positive.
        low: specificity.
        high: specificity.
    """

    def __init__(self, view: Predictions, low: float, high: float) -> None:
        self.ranking, self.low, self.high = Ranking(view.probabilities[:, 1], view.target == 1), low, high

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        """Return name → ``(B,)`` for weights ``(N, B)`` of the images."""
        return {AT_SPECIFICITY: self.ranking.curve(weights).mean_sensitivity(self.low, self.high)}


@dataclass(frozen=True)
class Comparison:
    """Recipes against the first one.

    Attributes:
        recipes: the model's own first.
        yardstick: of the model.
        specificity: outside, at which sensitivity is compared; None for that of the first recipe at its frozen
            threshold, from :data:`LEAST` to :data:`MOST`.
    """

    recipes: Sequence[Recipe]
    yardstick: Yardstick
    specificity: float | None = None

    @cached_property
    def band(self) -> tuple[float, float]:
        """The specificities from which to which sensitivity is averaged."""
        chosen = np.clip(self.recipes[0].specificity(), LEAST, MOST) if self.specificity is None else self.specificity
        middle = round(float(chosen), 2)
        return round(max(middle - MARGIN, 0.0), 2), round(min(middle + MARGIN, 1.0), 2)

    @cached_property
    def at_specificity(self) -> list[Trainings]:
        """Each recipe's sensitivity outside at the same specificities."""
        return [each.at(*self.band, self.yardstick.seed) for each in self.recipes]

    @cached_property
    def worth(self) -> list[Change]:
        """Of each recipe but the first: its change of that sensitivity, with p after Holm's correction."""
        first, *others = self.at_specificity
        changes = [self._change(each, first, AT_SPECIFICITY) for each in others]
        adjusted = holm([number(each["p"]) for each in changes])
        return [{**each, "p": p} for each, p in zip(changes, adjusted, strict=True)]

    def table(self) -> Table:
        """Return what each recipe is worth outside and costs at home."""
        low, high = self.band
        rows = list[TableRow]()
        for i, recipe in enumerate(self.recipes):
            value = metric_estimate(self.at_specificity[i], AT_SPECIFICITY, self.yardstick.level).interval().to_dict()
            cells: list[Interval | int | str] = [len(recipe.trainings), value]
            if i == 0:
                cells += ["the model", *[""] * (1 + len(COST))]
            else:
                change = self.worth[i - 1]
                p = p_in_words(number(change["p"]), number(change["p"]) <= LEAST_P)
                costs = [self._changes(recipe, AT_HOME).get(name) for name in COST]
                cells += [span(change), p, *(span(each) if each else "" for each in costs)]
            rows.append({"name": recipe.name, "cells": cells})
        title = (
            f"Sensitivity outside at the same specificity (mean from {low:.2f} to {high:.2f}; at its frozen thresholds "
            f"the model's recipe has {self.recipes[0].specificity():.2f} there), and the change at home"
        )
        head = ["Recipe", "Trainings", "Sensitivity outside", "Change", "p (Holm)"]
        return {"title": title, "columns": [*head, "AUROC, home", "Balanced accuracy, home"], "rows": rows}

    def conditions(self) -> list[Condition]:
        """Return each recipe outside and at home, at its own frozen threshold, with its changes to the first."""
        return [self._condition(recipe, place) for recipe in self.recipes for place in (OUTSIDE, AT_HOME)]

    def outcome(self) -> list[str]:
        """Return a sentence for every recipe that is better or worse outside, or that none is shown to be."""
        low, high = self.band
        where = f"at the same specificity outside ({low:.2f} to {high:.2f})"
        shown = [
            (number(change["difference"]["value"]), recipe, change)
            for recipe, change in zip(self.recipes[1:], self.worth, strict=True)
            if number(change["p"]) <= 1 - self.yardstick.level
        ]
        if not shown:
            p = min((number(each["p"]) for each in self.worth), default=np.nan)
            return [
                f"No evidence that {self._others()} finds more or fewer malignant lesions {where} (smallest p "
                f"{p_in_words(p)} after Holm's correction)."
            ]
        found = []
        for size, recipe, change in sorted(shown, key=lambda each: -each[0]):
            cost = self._changes(recipe, AT_HOME).get(COST[0])
            at_home = f"; at home its AUROC changes by {span(cost)}" if cost else ""
            found.append(
                f"{recipe.name} {'helps' if size > 0 else 'hurts'}: sensitivity {span(change)} {where}, p "
                f"{p_in_words(number(change['p']), number(change['p']) <= LEAST_P)} after Holm's correction{at_home}."
            )
        return found

    def _others(self) -> str:
        n = len(self.worth)
        return "the other recipe" if n == 1 else f"one of the {n} other recipes"

    def missed(self) -> str:
        """Return a sentence on the malignant lesions that the first recipe and the best other one miss outside."""
        values = [float(np.mean(each.values(AT_SPECIFICITY))) for each in self.at_specificity]
        best = max(range(1, len(values)), key=lambda i: values[i])
        first, other = 1 - values[0], 1 - values[best]
        ratio = f", {other / first:.2f} times as many" if first > 0 else ""
        return (
            f"At the same specificity outside {self.recipes[0].name} misses {first:.1%} of the malignant images, "
            f"{self.recipes[best].name} {other:.1%}{ratio}; it was chosen as the best of {len(values) - 1}, which "
            "favours it."
        )

    def _changes(self, recipe: Recipe, place: str) -> dict[str, Change]:
        first, own = self.recipes[0].measured[place], recipe.measured[place]
        return {name: self._change(own[name], first[name], name) for name in own if name in first}

    def _change(self, a: Trainings, b: Trainings, metric: str) -> Change:
        found = difference_estimate(a, b, metric, self.yardstick.level, n_draws=round(2 / LEAST_P))
        return {"difference": found.interval().to_dict(), "p": found.p}

    def _condition(self, recipe: Recipe, place: str) -> Condition:
        table = (recipe.trainings[0].home if place == AT_HOME else recipe.trainings[0].outside).table
        metrics = {
            name: metric_estimate(each, name, self.yardstick.level).interval().to_dict()
            for name, each in recipe.measured[place].items()
        }
        changes: dict[str, Change] = {}
        if recipe is not self.recipes[0]:
            changes = self._changes(recipe, place)
            changes |= {AT_SPECIFICITY: self.worth[self.recipes.index(recipe) - 1]} if place == OUTSIDE else {}
        return {
            "name": recipe.name,
            "dose": place,
            "images": len(table),
            "groups": len(np.unique(table.group.astype(str))),
            "metrics": metrics,
            "changes": changes,
        }
