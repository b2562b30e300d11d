"""The plan of a study: which runs its arms need, in which words, and for how long."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skinlab.errors import UserError, nearest
from skinlab.selfsup.methods import needed_views
from skinlab.settings.invocation import Invocation
from skinlab.studies.rows import Rows

# Groups whose words the study hands on: to every run, or to those that name the group.
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
        words: its overrides.
        images: that pass through the network in training: optimiser steps x images a step.
        rows: images of an epoch.
        after: the job that it waits for.
    """

    name: str
    command: str
    words: tuple[str, ...]
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


def check_study(config: Mapping[str, Any], invocation: Invocation) -> None:
    """Refuse what makes no study.

    Raises:
        UserError: one of the settings.
    """
    recipes, n_folds = config["recipes"], config["data"]["n_folds"]
    for name in ("budgets", "seeds", "folds", "arms"):
        values = config[name]
        if not values:
            raise UserError(f"{name}=[]: give one or more, such as {name}={_example(name)}")
        if len(set(values)) < len(values):
            raise UserError(f"{name}={_listed(values)}: one is there twice; give each once")
    for arm in config["arms"]:
        if arm not in recipes:
            hint = nearest(str(arm), recipes)
            raise UserError(
                f"arms: {arm} is none of {', '.join(recipes)}{hint}; more are added to recipes in study.yaml"
            )
    for budget in config["budgets"]:
        number = isinstance(budget, (int, float)) and not isinstance(budget, bool)
        if not number or not budget > 0 or (budget > 1 and budget % 1):
            raise UserError(
                f"budgets: {budget} is no budget; give shares in (0, 1], or whole numbers of images above 1"
            )
    if min(config["budgets"]) < 1 < max(config["budgets"]):
        raise UserError(f"budgets={_listed(config['budgets'])}: give all as shares, or all as numbers of images")
    for name, values, low in (("seeds", config["seeds"], 0), ("folds", config["folds"], 0)):
        if any(type(each) is not int or each < low for each in values):
            raise UserError(f"{name}={_listed(values)}: whole numbers from 0 on are expected")
    if max(config["folds"]) >= n_folds:
        raise UserError(
            f"folds={_listed(config['folds'])}: there are {n_folds}, from 0 to {n_folds - 1} (data.n_folds)"
        )
    for name in ("epochs", "pretrain_epochs", "pretrain_views", "validations", "jobs"):
        if config[name] is not None and config[name] < 1:
            raise UserError(f"{name}={config[name]}: must be at least 1")
    if config["semi"]["name"] == "none":
        raise UserError("semi=none: name the semi-supervision of the arms E and F, such as semi=fixmatch")
    if not 0 <= config["probe_share"] < 1:
        raise UserError(
            f"probe_share={config['probe_share']}: a share from 0 to below 1 is expected, or nothing is tuned"
        )
    for word in [*invocation.overrides, *config["base"], *config["base_pretrain"], *config["base_train"]]:
        if _key(word) in OWN:
            raise UserError(f"{word}: the study sets {_key(word)} itself; set {OWN[_key(word)]}=… instead")


def make_plan(config: Mapping[str, Any], invocation: Invocation, rows: Rows, runs: Path) -> Plan:
    """Lay out every run of a study, pretrainings before what needs them.

    Compute is counted in images that pass through the network in training (optimiser steps x images a step, views
    counted one by one; an epoch's incomplete last batch is left out, unless it is the only one). With N labelled images
    of a fold in all, and M to pretrain on, a training lasts for ``epochs`` x N images and a pretraining for
    ``pretrain_epochs`` x M x ``pretrain_views``, at every budget; a long training lasts for both together. Epochs are
    rounded to whole ones.

    Args:
        config: of the study, checked.
        invocation: the command line.
        rows: counts of the data.
        runs: folder of the runs.

    Raises:
        UserError: an arm needs a pool, and there is none.
    """
    planner = _Planner(config, invocation, rows, runs)
    recipes, budgets = config["recipes"], sorted(config["budgets"], key=size_of)
    cells, left_out = [], []
    for arm in [name for name in recipes if name in config["arms"]]:
        kept = [budget for budget in budgets if planner.has_what_it_needs(arm, budget)]
        if not kept:
            raise UserError(
                f"arms: {arm} ({recipes[arm]['title']}) needs a pool, and {config['data']['name']} has none at these "
                "budgets; add a budget below all labels, images without labels, or leave it out"
            )
        if len(kept) < len(budgets):
            missing = ", ".join(f"{b:g}" for b in budgets if b not in kept)
            left_out.append(f"{arm} has no pool at the budget {missing}, and is left out there.")
        cells += [
            planner.cell(arm, budget, fold, seed)
            for budget in kept
            for fold in config["folds"]
            for seed in config["seeds"]
        ]
    order = sorted(planner.jobs.values(), key=lambda job: job.command != "pretrain")
    return Plan({job.name: job for job in order}, cells, left_out)


def learned_from(rows: int, batch: int) -> int:
    """Return the images of an epoch without an incomplete last batch, unless it is the only one.

    >>> learned_from(63, 32), learned_from(64, 32), learned_from(20, 32)
    (32, 64, 20)
    """
    return rows // batch * batch or rows


def size_of(budget: float) -> float:
    """Order budgets by size: 1.0 is all labels, whatever the others are."""
    return float("inf") if budget == 1 else budget


class _Planner:
    """Collects the jobs that the trainings of a study need."""

    def __init__(self, config: Mapping[str, Any], invocation: Invocation, rows: Rows, runs: Path) -> None:
        self.config, self.invocation, self.rows, self.runs = config, invocation, rows, runs
        self.jobs: dict[str, Job] = {}
        self.views = config["pretrain_views"] or sum(needed_views(config["ssl"]))

    def has_what_it_needs(self, arm: str, budget: float) -> bool:
        """Tell whether there is a pool for the stage that needs one."""
        need = self.config["recipes"][arm].get("needs_pool")
        wanted = {"train": [budget], "pretrain": self.config["budgets"]}.get(str(need), [])
        fold, seed = self.config["folds"][0], self.config["seeds"][0]
        return not wanted or any(self.rows.has_pool(each, fold, seed) for each in wanted)

    def cell(self, arm: str, budget: float, fold: int, seed: int) -> Cell:
        """Add a training, and its pretraining unless another arm or budget has brought it."""
        config, recipe, rows = self.config, self.config["recipes"][arm], self.rows
        values = dict(self.invocation.choices) | {"budget": budget, "fold": fold, "seed": seed}
        values["smallest"] = min(config["budgets"], key=size_of)
        after = self._pretraining(arm, values).name if recipe.get("pretrain") else None
        if after:
            values["backbone"] = quoted(self.runs / after / "backbone.safetensors")
        images = config["epochs"] * rows.labelled(1.0, fold, seed)
        if recipe.get("long"):
            images += config["pretrain_epochs"] * rows.pretraining("all", 1.0, fold, seed) * self.views
        words = _words("train", recipe, config, self.invocation, values)
        said = _said(words)
        labelled = rows.labelled(budget, fold, seed)
        batch = _whole(said, "data.batch_size", config["data"]["batch_size"])
        an_epoch = learned_from(labelled, batch)
        if "semi" in said:  # a step's pool images are as many, however few labelled ones it has
            ratio = _whole(said, "semi.pool_ratio", config["semi"]["pool_ratio"])
            an_epoch += max(1, labelled // batch) * batch * ratio * POOL_VIEWS
        epochs = max(1, round(images / an_epoch))
        every = max(1, epochs // config["validations"])
        epochs = max(1, round(epochs / every)) * every
        probe = min(max(1, round(config["probe_share"] * epochs)), epochs - 1) if config["probe_share"] else 0
        words = _filled(words, {"epochs": epochs, "every": every, "probe": probe})
        name = f"{arm}_b{budget:g}_f{fold}_s{seed}"
        self.jobs[name] = Job(name, "train", words, epochs * an_epoch, labelled, after)
        return Cell(arm, budget, fold, seed, name)

    def _pretraining(self, arm: str, values: Mapping[str, Any]) -> Job:
        """Return the pretraining of an arm; runs of the same words are one."""
        config, recipe = self.config, self.config["recipes"][arm]
        words = _words("pretrain", recipe, config, self.invocation, values)
        said, fold, seed = _said(words), values["fold"], values["seed"]
        n_rows = self.rows.pretraining(said.get("pool", "all"), float(said.get("data.label_budget", 1)), fold, seed)
        an_epoch = learned_from(n_rows, _whole(said, "data.batch_size", config["data"]["batch_size"]))
        epochs = max(1, round(config["pretrain_epochs"] * self.rows.pretraining("all", 1.0, fold, seed) / an_epoch))
        words = _filled(words, {"epochs": epochs, "every": max(1, epochs // config["validations"])})
        namesake = next(name for name, each in config["recipes"].items() if each.get("pretrain") == recipe["pretrain"])
        name = f"{namesake}-pretrain_b{values['budget']:g}_f{fold}_s{seed}"
        job = Job(name, "pretrain", words, epochs * an_epoch * self.views, n_rows)
        job = next((each for each in self.jobs.values() if each.words == words), job)
        return self.jobs.setdefault(job.name, job)


def _words(
    stage: str, recipe: Mapping[str, Any], config: Mapping[str, Any], invocation: Invocation, values: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the words of a run; of two for one setting the later stays: the user's, then the arm's own."""
    own = [*config["words"]["both"], *config["words"][stage], *config["base"], *config[f"base_{stage}"]]
    named = {_key(word) for word in [*own, *recipe[stage]]}
    groups = [*SHARED, *(group for group in NAMED if group in named)]
    handed_on = [word for word in invocation.overrides if _is_handed_on(_key(word), groups)]
    found: dict[str, str] = {}
    for word in [*own, *handed_on, *recipe[stage]]:
        found[_key(word)] = word
    return _filled(tuple(found.values()), values)


def _is_handed_on(key: str, groups: Sequence[str]) -> bool:
    return key == "plugins" or (key.partition(".")[0] in groups and "." in key)


def _filled(words: Sequence[str], values: Mapping[str, Any]) -> tuple[str, ...]:
    """Put values in the place of what is known by name; other braces stay as they are.

    >>> _filled(["seed={seed}", "data.label_map={a: b}"], {"seed": 3})
    ('seed=3', 'data.label_map={a: b}')
    """
    return tuple(PLACEHOLDER.sub(lambda at: str(values.get(at[1], at[0])), word) for word in words)


def _said(words: Sequence[str]) -> dict[str, str]:
    return {_key(word): word.partition("=")[2] for word in words}


def _whole(said: Mapping[str, str], key: str, default: int) -> int:
    found = said.get(key, str(default))
    if not found.isdecimal() or not int(found):
        raise UserError(f"{key}={found}: a whole number of at least 1 is expected")
    return int(found)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def quoted(path: Path) -> str:
    r"""Quote a path for Hydra's grammar, which knows commas and equal signs.

    >>> quoted(Path("it's"))
    "'it\\'s'"
    """
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _listed(values: Sequence[Any]) -> str:
    return f"[{','.join(map(str, values))}]"


def _example(name: str) -> str:
    return {"budgets": "[0.05,0.2,1.0]", "seeds": "[0,1,2]", "folds": "[0]", "arms": "[A,A+,D]"}[name]
