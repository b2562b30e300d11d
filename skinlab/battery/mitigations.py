"""Mitigations: other trainings, such as with stronger colours, against the model, outside and at home."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Model
from skinlab.battery.probe import Findings, NotRunError, Probe, require_home
from skinlab.battery.trained import Trained, TrainedRecipe, check_comparable, read_recipes, threshold_at_home
from skinlab.errors import UserError, some
from skinlab.evaluation.shift.mitigation import Comparison, Recipe, Training
from skinlab.evaluation.shift.origin import Side
from skinlab.evaluation.shift.yardstick import has_both
from skinlab.evaluation.thresholds.choice import is_fixed
from skinlab.evaluation.thresholds.operating import row_thresholds
from skinlab.text import quantity

REFERENCE = "the model under test, at the same place"
SELECTION = (
    "Each recipe decides at the threshold of its own validation images. Recipes that are chosen by these numbers need "
    "other outside images for a number that holds."
)
SINGLE = (
    "Recipes with one training are compared as these weights, not as recipes: another seed may reverse a difference. "
    "Give several seeds: python -m skinlab.train -m seed=0,1,2 …"
)


@dataclass(frozen=True)
class Mitigations(Probe):
    """Trainings of other recipes against the model, on the same images outside and at home.

    Args:
        trainings: runs, folders of runs, and bundles; further seeds of the model's own recipe may be among them.
        rule: of the threshold of each training, chosen on its own validation images.
        specificity: outside, at which sensitivity is compared; None for that of the model's recipe at its frozen
            threshold, but from 0.5 to 0.95.

    Raises:
        UserError: the specificity is out of range.
    """

    trainings: str | Sequence[str] | None = None
    rule: str = "sensitivity>=0.95"
    specificity: float | None = None
    title: ClassVar[str] = "Mitigations"
    question: ClassVar[str] = "Which other training finds more malignant lesions outside, and at what cost at home?"
    published: ClassVar[str] = (
        "A linear probe before fine-tuning gained 10 points outside and 1 at home, on photographs of objects and land "
        "(arXiv 2202.10054); training with artefacts helped only where those of the test resembled them "
        "(arXiv 2208.09756)."
    )

    def __post_init__(self) -> None:
        if self.specificity is not None and not 0 < self.specificity < 1:
            raise UserError(f"probe.mitigations.specificity: {self.specificity} is not between 0 and 1")

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted: all of both places by every training but the model's own.

        Raises:
            NotRunError: there are no other trainings, no run, or no images outside.
            UserError: a training is not finished, has other classes, or was trained on images at home.
        """
        own, home, outside = self._places(bench)
        recipes = read_recipes(own, self._given())
        check_comparable(recipes, home, own)
        n = sum(len(each.trainings) for each in recipes) - 1
        return n * (len(home) + int(_unused(outside, recipes).sum()))

    def run(self, bench: Bench) -> Findings:
        """Return each recipe's metrics of both places, and its changes to the model's recipe."""
        own, home, outside = self._places(bench)
        recipes = read_recipes(own, self._given())
        unused = _unused(outside, recipes)
        compared = outside.of(unused)
        if not unused.any() or not has_both(bench.yardstick.view(compared.clean)):
            raise NotRunError(
                "too few images outside are left that no training was trained on: groups of positive and of other "
                "images are needed"
            )
        measured = [
            Recipe(each.name, [_measured(one, own, self.rule, home, compared) for one in each.trainings])
            for each in recipes
        ]
        comparison = Comparison(measured, bench.yardstick, self.specificity)
        found = Findings(reference=REFERENCE, conditions=comparison.conditions(), tables=[comparison.table()])
        found.outcome = comparison.outcome()
        found.notes = [comparison.missed(), SELECTION, *_cautions(recipes, int((~unused).sum()))]
        return found

    def _given(self) -> list[str]:
        """Return the runs, folders of runs and bundles."""
        return [self.trainings] if isinstance(self.trainings, str) else list(self.trainings or ())

    def _places(self, bench: Bench) -> tuple[Path, ImageSet, ImageSet]:
        """Return the model's run, the images at home and those outside.

        Raises:
            NotRunError: one is missing, or there are no trainings to compare with.
        """
        if not self._given():
            raise NotRunError(
                "it needs trainings of other recipes: python -m skinlab.train -m 'augment=light,colour' seed=0,1 …, "
                "then mitigations=SWEEP"
            )
        if bench.run is None:
            raise NotRunError("a bundle has no recipe to compare with: give its run, ckpt=RUN")
        if bench.outside is None:
            raise NotRunError("there are no images of another source: name a data set, such as data=ph2 data.root=DIR")
        return bench.run.resolve(), require_home(bench), bench.outside


def _unused(outside: ImageSet, recipes: Sequence[TrainedRecipe]) -> npt.NDArray[np.bool_]:
    """Return which images outside no training was trained on, or chosen by, ``(N,)``."""
    used = [each.usage(outside) != "" for recipe in recipes for each in recipe.trainings]
    return np.asarray(~np.any(used, axis=0))


def _measured(training: Trained, own: Path, rule: str, home: ImageSet, outside: ImageSet) -> Training:
    """Return what a training predicts at home and outside, at its own frozen threshold."""
    yardstick = home.yardstick
    if training.place == own:
        return Training(training.key, yardstick, _side(home), _side(outside))
    model = Model(training.bundle, home.model.device)
    threshold = threshold_at_home(str(training.place), training.bundle, training.run, rule, yardstick.positive)
    yardstick = replace(yardstick, threshold=threshold.threshold)
    home, outside = home.by(model, yardstick), outside.by(model, yardstick)
    if not is_fixed(rule) and (training.usage(home) == "val").any():
        view = yardstick.view(home.clean)
        home = replace(home, own_thresholds=row_thresholds(view, threshold, cross_fit=True, seed=yardstick.seed))
    return Training(training.key, yardstick, _side(home), _side(outside))


def _side(images: ImageSet) -> Side:
    return Side(images.name, images.clean, images.own_thresholds)


def _cautions(recipes: Sequence[TrainedRecipe], n_used: int) -> list[str]:
    """Return what limits the comparison: images left out, unknown training images, single trainings."""
    found, trainings = [], [each for recipe in recipes for each in recipe.trainings]
    if n_used:
        found.append(
            f"{quantity(n_used, 'image')} outside left out for all recipes, since one was trained on them or chosen by "
            "them."
        )
    if unknown := [f"{each.place.name} ({some(each.images.unknown, 1)})" for each in trainings if each.images.unknown]:
        found.append(
            f"The training images of {some(unknown)} are not known; if images outside are among them, its metrics do "
            "not hold for new ones."
        )
    return found + [SINGLE] * (min(len(each.trainings) for each in recipes) < 2)
