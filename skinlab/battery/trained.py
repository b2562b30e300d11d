"""Trained models beside the one under test: runs of other recipes and seeds, bundles, and the threshold of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skinlab.battery.bench import ImageSet
from skinlab.data.training_images import TrainingImages, contents
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.thresholds.choice import is_fixed
from skinlab.evaluation.thresholds.frozen import FrozenThreshold, fixed_threshold, freeze
from skinlab.inference.bundle import Bundle, load_bundle
from skinlab.inference.models import BEST, run_of, sweep_runs
from skinlab.inference.run_tables import read_validation
from skinlab.models.weights import find_checkpoint
from skinlab.runs.provenance import training_images
from skinlab.settings.recipes import by_recipe, tell_apart
from skinlab.settings.recorded import how_to_finish, is_finished, read_recorded


@dataclass(frozen=True)
class Trained:
    """A model to be compared: a run, or a bundle.

    Attributes:
        place: directory of the run, or the bundle's file.
        config: that the run recorded, of initial weights that are a run's their name alone; None for a bundle.
    """

    place: Path
    config: Mapping[str, Any] | None

    @property
    def key(self) -> Hashable:
        """What tells it from the other trainings of its recipe."""
        return None if self.config is None else (self.config["seed"], self.config["data"].get("fold"))

    @property
    def run(self) -> Path | None:
        """Its run; None for a bundle."""
        return None if self.config is None else self.place

    @cached_property
    def bundle(self) -> Bundle:
        """Its networks."""
        return load_bundle(self.place if self.config is None else self.place / BEST)

    @cached_property
    def images(self) -> TrainingImages:
        """Its training and validation images, with those of its initial weights."""
        return training_images(self.place, None if self.config is not None else self.bundle.training_images)

    def usage(self, images: ImageSet) -> npt.NDArray[np.object_]:
        """Return how each image was used in the training, ``(N,)``; "" where it was not."""
        known = "image_hash" in images.rows
        hashes = contents(images.rows["image_hash"]) if known else np.zeros(len(images), np.uint64)
        return self.images.usage(hashes, images.rows["group"])


@dataclass(frozen=True)
class TrainedRecipe:
    """The trainings of a recipe, or a bundle, with a name that tells it from the others."""

    name: str
    trainings: Sequence[Trained]


def read_recipes(own: Path, places: Sequence[str]) -> list[TrainedRecipe]:
    """Return the recipes of a run and of what it is compared with, the run's own first.

    Args:
        own: run of the model.
        places: runs, folders of runs, and bundles.

    Raises:
        UserError: a place is none of these, a run is not finished, a training is there twice, or all are the model's.
    """
    found = [_read_run(own)] + [each for place in places for each in _read(place)]
    found = list({each.place: each for each in found}.values())
    runs = [each for each in found if each.config is not None]
    configs = [dict(each.config or {}) for each in runs]
    members = [[runs[i] for i in numbers] for numbers in by_recipe(configs)]
    bundles = [[each] for each in found if each.config is None]
    if len(members) + len(bundles) < 2:
        raise UserError("mitigations=: all runs are of the model's own recipe; give trainings of others, or a bundle")
    for each in members:
        counts = Counter(training.key for training in each)
        if twice := [str(training.place) for training in each if counts[training.key] > 1]:
            raise UserError(f"mitigations=: {some(twice)} are of one recipe, seed and fold; remove all but one")
    names = _short(tell_apart([each[0].config or {} for each in members]))
    names += [f"bundle {each[0].place.parent.name}/{each[0].place.name}" for each in bundles]
    return list(map(TrainedRecipe, names, [*members, *bundles]))


def check_comparable(recipes: Sequence[TrainedRecipe], home: ImageSet, own: Path) -> None:
    """Refuse trainings that were trained on images at home, or have other classes than the model.

    Raises:
        UserError: there is one.
    """
    wanted = home.model.bundle.outputs
    for each in (training for recipe in recipes for training in recipe.trainings):
        if used := int(np.isin(each.usage(home), ("train", "group")).sum()):
            raise UserError(
                f"mitigations=: {each.place} was trained on {used} of the {len(home)} images at home; train it "
                f"with the folds of {own} (the same data.fold, data.n_folds, data.split and data.split_seed)"
            )
        if (classes := each.bundle.outputs) != wanted:
            raise UserError(
                f"mitigations=: {each.place} has the classes {', '.join(classes)}, the model {', '.join(wanted)}; "
                f"train it with data.classes=[{','.join(wanted)}]"
            )


def threshold_at_home(
    place: str, bundle: Bundle, run: Path | None, rule: str, positive: Sequence[str]
) -> FrozenThreshold:
    """Return the threshold of a rule that is frozen at home.

    Args:
        place: of the model, for messages.
        bundle: the model.
        run: whose validation images are the model's; None for a bundle without one.
        rule: such as ``sensitivity>=0.95``, or ``p>=T``.
        positive: classes.

    Raises:
        UserError: there are no images to choose it on.
    """
    if is_fixed(rule):
        with user_errors():
            return fixed_threshold(rule, list(positive))
    own = [each for each in bundle.thresholds if each.rule == rule and set(each.positive) == set(positive)]
    if own:
        return own[0]
    if run is None or bundle.calibrator is not None or len(bundle.members) > 1:
        raise UserError(
            f"threshold={rule}: {place} has no such threshold for {', '.join(positive)}; make the bundle with it: "
            f"python -m skinlab.bundle ckpt=RUN output=FILE.bundle 'thresholds=[{rule}]' "
            f"'positive=[{','.join(positive)}]', or give a fixed one, as in 'threshold=p>=0.3'"
        )
    (table,) = read_validation([str(run)], 1, bundle.classes, "threshold=")
    with user_errors():
        return freeze(table.binary(positive), rule, f"val, {len(table)} images", list(positive))


def _read(place: str) -> list[Trained]:
    """Return the runs that a place is or holds, or the bundle that it is.

    Raises:
        UserError: it is none of these.
    """
    if runs := sweep_runs(place):
        return [_read_run(run.resolve()) for run in runs]
    if run := run_of(place):
        return [_read_run(run.resolve())]
    file = find_checkpoint(place).resolve()
    if file.suffix != ".bundle":
        raise UserError(f"mitigations={place} is no run of skinlab.train, no folder of runs and no bundle")
    return [Trained(file, None)]


def _read_run(run: Path) -> Trained:
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


def _short(names: Sequence[str]) -> list[str]:
    """Return the model's own recipe with its settings, and of each other one those that differ from it.

    Paths are shortened to their names; classes are the same for all.

    >>> _short(["augment=light data.reader.table=/data/a.csv", "augment=heavy data.reader.table=/data/a.csv"])
    ['the model (augment=light data.table=a.csv)', 'augment=heavy']
    """
    own, *others = [
        [_readable(word) for word in name.split() if not word.startswith("data.classes=")] for name in names
    ]
    first = f"the model ({' '.join(own)})" if own else "the model"
    return [first, *(" ".join(word for word in other if word not in own) for other in others)]


def _readable(word: str) -> str:
    key, _, value = word.removeprefix("data.reader.").partition("=")
    key = f"data.{key}" if word.startswith("data.reader.") else key
    return f"{key}={Path(value).name if value.startswith('/') else value}"
