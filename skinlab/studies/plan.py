"""The plan of a study: the runs of its arms, their overrides and lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from skinlab.errors import UserError
from skinlab.selfsup.methods import needed_views
from skinlab.settings.command import Invocation
from skinlab.settings.commands.study import RecipeSettings, StudySettings
from skinlab.studies.rows import Rows

# Groups whose overrides go to the runs as well: to every run, or to those that name the group.
SHARED, NAMED = ("data", "model", "trainer"), ("ssl", "semi")
OWN = {
    "data.fold": "folds",
    "data.label_budget": "budgets",
    "data.budget_seed": "seeds",
    "trainer.max_epochs": "epochs",
}
POOL_VIEWS = 2  # of each pool image in a semi-supervised step, one weak and one strong
PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        name: of its directory.
        command: ``pretrain`` or ``train``.
        overrides: of its command.
        images: that pass through the network in training: optimiser steps x images a step.
        rows: images of an epoch.
        after: the job that it waits for.
    """

    name: str
    command: str
    overrides: tuple[str, ...]
    images: int
    rows: int
    after: str | None = None


@dataclass(frozen=True)
class Cell:
    """One training of an arm: what the evidence knows it by, and its job."""

    arm: str
    budget: float
    fold: int
    seed: int
    job: str


@dataclass(frozen=True)
class Plan:
    """Jobs by name, in an order in which nothing waits for a later one; the trainings; what was left out, and why."""

    jobs: dict[str, Job] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def check_overrides(settings: StudySettings, invocation: Invocation) -> None:
    """Refuse overrides of what the study sets itself.

    Raises:
        UserError: there are such.
    """
    for override in [*invocation.overrides, *settings.base, *settings.base_pretrain, *settings.base_train]:
        if (key := _key(override)) in OWN:
            raise UserError(f"{override}: the study sets {key} itself; set {OWN[key]}=… instead")
        if key == "test":
            raise UserError(f"{override}: the study opens the test itself, once all runs are done; leave it out")


def make_plan(settings: StudySettings, invocation: Invocation, rows: Rows, runs: Path) -> Plan:
    """Lay out every run of a study, pretrainings before what needs them.

    Compute is counted in images that pass through the network in training (optimiser steps x images a step, views
    counted one by one; an epoch's incomplete last batch is left out, unless it is the only one). With N labelled images
    of a fold in all, and M to pretrain on, a training lasts for ``epochs`` x N images and a pretraining for
    ``pretrain_epochs`` x M x ``pretrain_views``, at every budget; a long training lasts for both together. Epochs are
    rounded to whole ones.

    Args:
        settings: of the study.
        invocation: the command line.
        rows: counts of the data.
        runs: folder of the runs.

    Raises:
        UserError: an arm needs a pool, and there is none.
    """
    planner = _Planner(settings, invocation, rows, runs)
    recipes, budgets = settings.recipes, sorted(settings.budgets, key=size_of)
    cells, left_out = [], []
    for arm in [name for name in recipes if name in settings.arms]:
        kept = [budget for budget in budgets if planner.has_its_pool(arm, budget)]
        if not kept:
            raise UserError(
                f"arms: {arm} ({recipes[arm].title}) needs a pool, and {settings.data.name} has none at these "
                "budgets; add a budget below all labels, images without labels, or leave it out"
            )
        if len(kept) < len(budgets):
            missing = ", ".join(f"{b:g}" for b in budgets if b not in kept)
            left_out.append(f"{arm} has no pool at the budget {missing}, and is left out there.")
        cells += [
            planner.cell(arm, budget, fold, seed)
            for budget in kept
            for fold in settings.folds
            for seed in settings.seeds
        ]
    order = sorted(planner.jobs.values(), key=lambda job: job.command != "pretrain")
    return Plan({job.name: job for job in order}, cells, left_out)


def images_an_epoch(rows: int, batch: int) -> int:
    """Return the images of an epoch without an incomplete last batch, unless it is the only one.

    >>> images_an_epoch(63, 32), images_an_epoch(64, 32), images_an_epoch(20, 32)
    (32, 64, 20)
    """
    return rows // batch * batch or rows


def size_of(budget: float) -> float:
    """Order budgets by size: 1.0 is all labels, whatever the others are."""
    return float("inf") if budget == 1 else budget


class _Planner:
    """Collects the jobs that the trainings of a study need."""

    def __init__(self, settings: StudySettings, invocation: Invocation, rows: Rows, runs: Path) -> None:
        self.settings, self.invocation, self.rows, self.runs = settings, invocation, rows, runs
        self.jobs: dict[str, Job] = {}
        self.views = settings.pretrain_views or sum(needed_views(settings.ssl.dump()))

    def has_its_pool(self, arm: str, budget: float) -> bool:
        """Return whether there is a pool for the stage that needs one."""
        stage = self.settings.recipes[arm].needs_pool
        budgets = {"train": [budget], "pretrain": self.settings.budgets}.get(str(stage), [])
        fold, seed = self.settings.folds[0], self.settings.seeds[0]
        return not budgets or any(self.rows.has_pool(each, fold, seed) for each in budgets)

    def cell(self, arm: str, budget: float, fold: int, seed: int) -> Cell:
        """Add a training, and its pretraining unless another arm or budget has brought it."""
        settings, recipe, rows = self.settings, self.settings.recipes[arm], self.rows
        values = dict(self.invocation.choices) | {"budget": budget, "fold": fold, "seed": seed}
        values["smallest"] = min(settings.budgets, key=size_of)
        after = self._pretraining(arm, values).name if recipe.pretrain else None
        if after:
            values["backbone"] = quoted(self.runs / after / "backbone.safetensors")
        images = settings.epochs * rows.labelled(1.0, fold, seed)
        if recipe.long:
            images += settings.pretrain_epochs * rows.pretraining("all", 1.0, fold, seed) * self.views
        overrides = _overrides("train", recipe, settings, self.invocation, values)
        chosen = _values(overrides)
        labelled = rows.labelled(budget, fold, seed)
        batch = _whole(chosen, "data.batch_size", settings.data.batch_size)
        an_epoch = images_an_epoch(labelled, batch)
        if "semi" in chosen:  # a step's pool images are as many, however few labelled ones it has
            ratio = _whole(chosen, "semi.pool_ratio", settings.semi.pool_ratio or 1)
            an_epoch += max(1, labelled // batch) * batch * ratio * POOL_VIEWS
        epochs = max(1, round(images / an_epoch))
        every = max(1, epochs // settings.validations)
        epochs = max(1, round(epochs / every)) * every
        probe = min(max(1, round(settings.probe_share * epochs)), epochs - 1) if settings.probe_share else 0
        overrides = _filled(overrides, {"epochs": epochs, "every": every, "probe": probe})
        name = f"{arm}_b{budget:g}_f{fold}_s{seed}"
        self.jobs[name] = Job(name, "train", overrides, epochs * an_epoch, labelled, after)
        return Cell(arm, budget, fold, seed, name)

    def _pretraining(self, arm: str, values: Mapping[str, Any]) -> Job:
        """Return the pretraining of an arm; runs of the same overrides are one."""
        settings, recipe = self.settings, self.settings.recipes[arm]
        overrides = _overrides("pretrain", recipe, settings, self.invocation, values)
        chosen, fold, seed = _values(overrides), values["fold"], values["seed"]
        n_rows = self.rows.pretraining(chosen.get("pool", "all"), float(chosen.get("data.label_budget", 1)), fold, seed)
        an_epoch = images_an_epoch(n_rows, _whole(chosen, "data.batch_size", settings.data.batch_size))
        epochs = max(1, round(settings.pretrain_epochs * self.rows.pretraining("all", 1.0, fold, seed) / an_epoch))
        overrides = _filled(overrides, {"epochs": epochs, "every": max(1, epochs // settings.validations)})
        namesake = next(name for name, each in settings.recipes.items() if each.pretrain == recipe.pretrain)
        name = f"{namesake}-pretrain_b{values['budget']:g}_f{fold}_s{seed}"
        job = Job(name, "pretrain", overrides, epochs * an_epoch * self.views, n_rows)
        job = next((each for each in self.jobs.values() if each.overrides == overrides), job)
        return self.jobs.setdefault(job.name, job)


def _overrides(
    stage: Literal["pretrain", "train"],
    recipe: RecipeSettings,
    settings: StudySettings,
    invocation: Invocation,
    values: Mapping[str, Any],
) -> tuple[str, ...]:
    """Return the overrides of a run; of two of one setting the later stays: the user's, then the arm's own."""
    every, of_arm = getattr(settings.words, stage), getattr(recipe, stage) or []
    own = [*settings.words.both, *every, *settings.base, *getattr(settings, f"base_{stage}")]
    named = {_key(override) for override in [*own, *of_arm]}
    groups = [*SHARED, *(group for group in NAMED if group in named)]
    users = [each for each in invocation.overrides if _goes_to_runs(_key(each), groups)]
    found = {_key(override): override for override in [*own, *users, *of_arm]}
    return _filled(tuple(found.values()), values)


def _goes_to_runs(key: str, groups: Sequence[str]) -> bool:
    return key == "plugins" or (key.partition(".")[0] in groups and "." in key)


def _filled(overrides: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Replace each known ``{name}`` by its value; other braces stay as they are.

    >>> _filled(["seed={seed}", "data.label_map={a: b}"], {"seed": 3})
    ('seed=3', 'data.label_map={a: b}')
    """
    return tuple(PLACEHOLDER.sub(lambda at: str(values.get(at[1], at[0])), override) for override in overrides)


def _values(overrides: Sequence[str]) -> dict[str, str]:
    return {_key(override): override.partition("=")[2] for override in overrides}


def _whole(chosen: Mapping[str, str], key: str, default: int) -> int:
    found = chosen.get(key, str(default))
    if not found.isdecimal() or not int(found):
        raise UserError(f"{key}={found}: a whole number of at least 1 is expected")
    return int(found)


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def quoted(path: Path) -> str:
    r"""Quote a path for Hydra's grammar, which knows commas and equal signs.

    >>> quoted(Path("it's"))
    "'it\\'s'"
    """
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
