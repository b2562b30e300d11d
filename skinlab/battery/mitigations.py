"""Mitigations: other trainings, such as with stronger colours, against the model, outside and at home."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Model
from skinlab.battery.probe import Findings, NotRunError, Probe, require_home
from skinlab.data.training_images import TrainingImages, contents
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.shift.mitigation import Comparison, Recipe, Training
from skinlab.evaluation.shift.origin import Side
from skinlab.evaluation.shift.yardstick import Yardstick, has_both
from skinlab.evaluation.thresholds.choice import is_fixed
from skinlab.evaluation.thresholds.frozen import FrozenThreshold, fixed_threshold, freeze
from skinlab.evaluation.thresholds.operating import row_thresholds
from skinlab.inference.bundle import load_bundle
from skinlab.inference.models import BEST, run_of, sweep_runs
from skinlab.runs.provenance import training_images
from skinlab.settings.recipes import by_recipe, tell_apart
from skinlab.settings.recorded import how_to_finish, is_finished, read_recorded
from skinlab.tables.predictions import read_predictions
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
class Trained:
    """A run of a recipe.

    Attributes:
        run: directory.
        config: that it recorded, of initial weights that are a run's their name alone.
    """

    run: Path
    config: Mapping[str, Any]

    @property
    def key(self) -> Hashable:
        """What tells it from the other trainings of its recipe."""
        return self.config["seed"], self.config["data"].get("fold")

    @cached_property
    def images(self) -> TrainingImages:
        """Its training and validation images, with those of its initial weights."""
        return training_images(self.run)

    def usage(self, images: ImageSet) -> npt.NDArray[np.object_]:
        """Return how each image was used in the training, ``(N,)``; "" where it was not."""
        known = "image_hash" in images.rows
        hashes = contents(images.rows["image_hash"]) if known else np.zeros(len(images), np.uint64)
        return self.images.usage(hashes, images.rows["group"])


@dataclass(frozen=True)
class Mitigations(Probe):
    """Trainings of other recipes against the model, on the same images outside and at home.

    Args:
        trainings: runs, and folders of runs; further seeds of the model's own recipe may be among them.
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
        run, home, outside = self._places(bench)
        recipes = self._recipes(run, bench)
        n = sum(len(each) for each in recipes) - 1
        return n * (len(home) + int(self._unused(outside, recipes).sum()))

    def run(self, bench: Bench) -> Findings:
        """Return each recipe's metrics of both places, and its changes to the model's recipe."""
        run, home, outside = self._places(bench)
        recipes = self._recipes(run, bench)
        unused = self._unused(outside, recipes)
        compared = outside.of(unused)
        if not unused.any() or not has_both(bench.yardstick.view(compared.clean)):
            raise NotRunError(
                "too few images outside are left that no training was trained on: groups of positive and of other "
                "images are needed"
            )
        names = tell_apart([each[0].config for each in recipes])
        measured = [[_measured(each, run, self.rule, bench, home, compared) for each in of] for of in recipes]
        comparison = Comparison(list(map(Recipe, names, measured)), bench.yardstick, self.specificity)
        found = Findings(reference=REFERENCE, conditions=comparison.conditions(), tables=[comparison.table()])
        found.outcome = comparison.outcome()
        found.notes = [comparison.missed(), SELECTION]
        if not unused.all():
            found.notes.append(
                f"{quantity(int((~unused).sum()), 'image')} outside left out for all recipes, since one was trained on "
                "them or chosen by them."
            )
        unknown = [
            f"{each.run.name} ({some(each.images.unknown, 1)})" for of in recipes for each in of if each.images.unknown
        ]
        if unknown:
            found.notes.append(
                f"The training images of {some(unknown)} are not known; if images outside are among them, its metrics "
                "do not hold for new ones."
            )
        found.notes += [SINGLE] * (min(map(len, recipes)) < 2)
        return found

    def _given(self) -> list[str]:
        """Return the runs and folders of runs."""
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

    def _recipes(self, own: Path, bench: Bench) -> list[list[Trained]]:
        """Return the trainings of each recipe, the model's own first, after the checks."""
        runs = [own, *(run.resolve() for place in self._given() for run in _runs(place))]
        trained = [_read(run) for run in dict.fromkeys(runs)]
        recipes = [[trained[i] for i in members] for members in by_recipe([each.config for each in trained])]
        if len(recipes) < 2:
            raise UserError(
                "mitigations=: all runs are of the model's own recipe; give trainings of others, or seeds of these"
            )
        for each in recipes:
            counts = Counter(training.key for training in each)
            if twice := [str(t.run) for t in each if counts[t.key] > 1]:
                raise UserError(f"mitigations=: {some(twice)} are of one recipe, seed and fold; remove all but one")
        _check_home([each for recipe in recipes for each in recipe], bench)
        return recipes

    def _unused(self, outside: ImageSet, recipes: Sequence[Sequence[Trained]]) -> npt.NDArray[np.bool_]:
        """Return which images outside no training was trained on, or chosen by, ``(N,)``."""
        used = np.zeros(len(outside), bool)
        for each in (training for recipe in recipes for training in recipe):
            used |= each.usage(outside) != ""
        return ~used


def _runs(place: str) -> list[Path]:
    """Return the runs that a place is or holds.

    Raises:
        UserError: there is none.
    """
    folder = Path(place).expanduser()
    runs = sweep_runs(folder) or [run for run in [run_of(place)] if run]
    if not runs:
        raise UserError(f"mitigations={place} is no run of skinlab.train and no folder of runs")
    return runs


def _read(run: Path) -> Trained:
    """Return a finished run.

    Raises:
        UserError: it is not finished.
    """
    if not is_finished(run):
        raise UserError(f"mitigations=: {run}: {how_to_finish(run)}, or remove it")
    config = read_recorded(run, {"seed": int, "data.name": str, "model.init": str})
    return Trained(run, config | {"model": config["model"] | {"init": _init_name(config["model"]["init"])}})


def _init_name(init: str) -> str:
    """Return the name of the run that initial weights are of, for a run of a sweep the sweep's; others as they are."""
    path = Path(init).expanduser()
    run = path.parents[1] if path.suffix == ".ckpt" and path.parent.name == BEST.parent.name else path
    if not (run / "config.yaml").is_file():
        return init
    return run.parent.name if run.name.isdecimal() else run.name


def _check_home(trainings: Sequence[Trained], bench: Bench) -> None:
    """Refuse trainings that were trained on images at home, or have other classes than the model.

    Raises:
        UserError: there is one.
    """
    home = require_home(bench)
    for each in trainings:
        used = np.isin(each.usage(home), ("train", "group"))
        if used.any():
            raise UserError(
                f"mitigations=: {each.run} was trained on {used.sum()} of the {len(home)} images at home; train it "
                f"with the folds of {bench.run} (the same data.fold, data.n_folds, data.split and data.split_seed)"
            )
        classes, wanted = load_bundle(each.run / BEST).outputs, bench.model.bundle.outputs
        if classes != wanted:
            raise UserError(
                f"mitigations=: {each.run} has the classes {', '.join(classes)}, the model {', '.join(wanted)}; train "
                f"it with data.classes=[{','.join(wanted)}]"
            )


def _measured(training: Trained, own_run: Path, rule: str, bench: Bench, home: ImageSet, outside: ImageSet) -> Training:
    """Return what a training predicts at home and outside, at its own frozen threshold."""
    if training.run == own_run:
        return Training(training.key, bench.yardstick, _side(home), _side(outside))
    model = Model(load_bundle(training.run / BEST), bench.model.device)
    threshold, own = _threshold(training.run, rule, bench.yardstick, home)
    yardstick = Yardstick(bench.yardstick.positive, threshold.threshold, bench.yardstick.level, bench.yardstick.seed)
    places = home.by(model, yardstick, own), outside.by(model, yardstick, None)
    return Training(training.key, yardstick, *map(_side, places))


def _threshold(
    run: Path, rule: str, yardstick: Yardstick, home: ImageSet
) -> tuple[FrozenThreshold, npt.NDArray[np.float64] | None]:
    """Return the threshold of a run, and that of each image at home where it was chosen on these."""
    with user_errors(f"mitigations=: {run}: "):
        if is_fixed(rule):
            return fixed_threshold(rule, list(yardstick.positive)), None
        view = read_predictions(run / "predictions" / "val.csv").binary(yardstick.positive)
        threshold = freeze(view, rule, f"val, {len(view)} images", list(yardstick.positive))
    place = {str(image): row for row, image in enumerate(view.image_id)}
    ids = home.rows["image_id"].tolist()
    if not all(each in place for each in ids):
        return threshold, None
    own = row_thresholds(view, threshold, cross_fit=True, seed=yardstick.seed)
    return threshold, own[[place[each] for each in ids]]


def _side(images: ImageSet) -> Side:
    return Side(images.name, images.clean, images.own_thresholds)
