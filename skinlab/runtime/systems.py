"""The systems behind an evaluation: tables, runs and sweeps, pooled over folds and gathered over seeds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from skinlab.errors import UserError
from skinlab.evaluation.alignment import agree, one_order
from skinlab.evaluation.grouping import same_grouping, share_groups
from skinlab.evaluation.pooling import pool_folds
from skinlab.evaluation.predictions import Predictions, read_predictions

# What may differ between two runs of one recipe.
INCIDENTAL = (
    *("seed", "run_dir", "run_id", "resume", "data.fold", "data.num_workers", "data.cache", "data.cache_dir"),
    *("logger", "callbacks.progress", "evidence"),
)


@dataclass(frozen=True)
class Run:
    """A run directory with predictions, its config and what it says of itself."""

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        """What the run shares with the other folds and seeds of its recipe."""
        settings = dict(_flatten(self.config))
        return {k: v for k, v in settings.items() if not any(k == i or k.startswith(f"{i}.") for i in INCIDENTAL)}


@dataclass(frozen=True)
class System:
    """What is evaluated under one name.

    Attributes:
        name: what the report calls it.
        tables: predictions of the same rows, one a seed (or a fold's model on a test they share).
        selection: rows of the same run on which thresholds may be chosen, if the tables are of others.
        over: what tells the tables apart, ``seed`` or ``fold``.
        keys: the seed or fold of each table.
        pooled: whether the rows are the validation folds of several runs put together.
        sources: the files, with hash, split, rows and meta.
        runs: the runs behind it, none for a table.
        groups_from: the systems whose groups are used instead of its own; None where its own are.
    """

    name: str
    tables: list[Predictions]
    sources: list[dict[str, Any]]
    selection: Predictions | None = None
    over: str | None = None
    keys: list[int] = field(default_factory=list)
    pooled: bool = False
    runs: list[Run] = field(default_factory=list)
    groups_from: str | None = None

    @property
    def run(self) -> Run | None:
        """The first run; None for a table."""
        return self.runs[0] if self.runs else None

    @property
    def training_prior(self) -> list[float] | None:
        """Shares of the classes that cross-entropy was trained on; None where files or another loss leave it open.

        So does a view of other classes than the runs', such as an overlap's.
        """
        metas = [each["meta"] for each in self.sources]
        priors = [meta.get("training_prior") or [] for meta in metas if meta.get("loss") == "CrossEntropy"]
        if len(priors) < len(metas) or any(len(prior) != len(self.tables[0].classes) for prior in priors):
            return None
        return [sum(shares) / len(priors) for shares in zip(*priors, strict=True)]


def find_systems(places: Sequence[str], *, split: str, labels: str | None) -> list[System]:
    """Return the systems that are meant, their rows checked.

    Args:
        places: tables, run directories, or folders of runs.
        split: ``auto``, ``val`` or ``test``, which rows of a run.
        labels: a table of labels for tables without.

    Raises:
        UserError: whatever is wrong with them.
    """
    systems: list[System] = []
    for place in places:
        path = Path(place).expanduser()
        try:
            if path.is_dir() and not (path / "predictions").is_dir():
                systems += _sweep(path, split)
            elif path.is_dir():
                systems.append(_run_system(open_run(path), split))
            else:
                table = read_predictions(path, labels=Path(labels).expanduser() if labels else None)
                systems.append(System(path.stem, [table], [source(path, table)]))
        except ValueError as error:
            raise UserError(str(error)) from None
    names = [system.name for system in systems]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise UserError(f"predictions= names {repeated} twice; give each system once, under a file name of its own")
    return systems


def align(systems: Sequence[System]) -> list[System]:
    """Bring the rows of all systems into the order of the first, and all their rows into one grouping.

    Raises:
        ValueError: they are predictions of other rows, other classes or other labels, or their groups contradict.
    """
    names, tables = zip(*((system.name, table) for system in systems for table in system.tables), strict=True)
    ordered = iter(one_order(tables, names))
    systems = [replace(system, tables=[next(ordered) for _ in system.tables]) for system in systems]
    parts = [[*system.tables, *filter(None, [system.selection])] for system in systems]
    shared, origin = share_groups(parts, [system.name for system in systems])
    return [_regrouped(system, part, origin) for system, part in zip(systems, shared, strict=True)]


def _regrouped(system: System, part: Sequence[Predictions], origin: str) -> System:
    """Return a system with the tables that share one grouping, noting whose it is where it is another's."""
    n = len(system.tables)
    groups_from = system.groups_from if same_grouping(system.tables[0], part[0]) else origin
    return replace(system, tables=list(part[:n]), selection=(*part[n:], None)[0], groups_from=groups_from)


def open_run(path: Path) -> Run:
    """Read a run's config and metrics.

    Raises:
        UserError: they are not there or can't be read.
    """
    try:
        config: Any = OmegaConf.to_container(OmegaConf.load(path / "config.yaml"))
        metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, OmegaConfBaseException) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(
            f"{path} is no finished run ({reason}); finish it, or give its predictions/val.csv or test.csv"
        ) from None
    return Run(path, config, metrics)


def source(path: Path, table: Predictions) -> dict[str, Any]:
    """Return what the evidence says of a file: hash, split, rows, and the meta data beside it."""
    beside = [path.with_suffix(".meta.json"), path.parent / "meta.json"]
    meta: dict[str, Any] = next((json.loads(each.read_text(encoding="utf-8")) for each in beside if each.is_file()), {})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"path": str(path), "sha256": digest, "split": path.stem, "rows": len(table), "meta": meta}


def _read(run: Run, split: str) -> tuple[Predictions, dict[str, Any]]:
    path = run.path / "predictions" / f"{split}.csv"
    table = read_predictions(path)
    return table, source(path, table)


def _run_system(run: Run, split: str, name: str | None = None) -> System:
    has_test = (run.path / "predictions" / "test.csv").is_file()
    split = split if split != "auto" else "test" if has_test else "val"
    table, facts = _read(run, split)
    selection = _read(run, "val")[0] if split == "test" else None
    return System(name or run.path.name, [table], [facts], selection=selection, runs=[run])


def _sweep(folder: Path, split: str) -> list[System]:
    """Return a system a recipe: seeds side by side, folds pooled, or on the test side by side too."""
    found = sorted(path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/predictions"))
    if not found:
        raise UserError(f"{folder} holds no run with predictions; give a run, a folder of runs, or a table")
    runs = [open_run(path) for path in found]
    recipes: dict[str, list[Run]] = {}
    for run in runs:
        recipes.setdefault(json.dumps(run.recipe, sort_keys=True, default=str), []).append(run)
    differing = _differing([members[0].recipe for members in recipes.values()])
    systems = []
    for members in recipes.values():
        name = " ".join(_word(members[0].recipe.get(key)) for key in differing) or folder.name
        folds = {run.config["data"]["fold"] for run in members}
        if len(members) == 1:
            systems.append(_run_system(members[0], split, name))
        elif len(folds) > 1 and split in ("auto", "val"):
            systems.append(_pooled(name, members))
        else:
            systems.append(_side_by_side(name, members, split, "fold" if len(folds) > 1 else "seed"))
    return systems


def _pooled(name: str, runs: Sequence[Run]) -> System:
    """Put the validation folds of each seed together."""
    by_seed: dict[int, list[Run]] = {}
    for run in runs:
        by_seed.setdefault(run.config["seed"], []).append(run)
    tables, sources = [], []
    for members in by_seed.values():
        read = [_read(run, "val") for run in members]
        rows = pd.read_csv(members[0].path / "split.csv", dtype=str, keep_default_na=False)
        tables.append(
            pool_folds(
                [table for table, _ in read],
                [run.config["data"]["fold"] for run in members],
                n_folds=members[0].config["data"]["n_folds"],
                # Also images whose labels a budget hides: their fold validates on them.
                expected=rows["image_id"][(rows["fold"] != "-1") & (rows["split"] != "")],
                name=name,
            )
        )
        sources += [facts for _, facts in read]
    tables = agree(tables, [f"{name} (seed {seed})" for seed in by_seed])
    over = "seed" if len(tables) > 1 else None
    return System(name, tables, sources, over=over, keys=list(by_seed), pooled=True, runs=list(runs))


def _side_by_side(name: str, runs: Sequence[Run], split: str, over: str) -> System:
    systems = [_run_system(run, split) for run in runs]
    tables = agree([system.tables[0] for system in systems], [str(run.path) for run in runs])
    keys = [run.config["seed"] if over == "seed" else run.config["data"]["fold"] for run in runs]
    if len(set(keys)) < len(keys):
        raise UserError(f"{runs[0].path.parent}: several runs of {name} have the same {over}; give those you mean")
    facts = [each for system in systems for each in system.sources]
    selection = systems[0].selection if over == "seed" else None
    return System(name, tables, facts, selection=selection, over=over, keys=keys, runs=list(runs))


def _flatten(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flatten(value, f"{place}.{key}" if place else str(key))
    else:
        yield place, node


def _differing(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings in which recipes differ, less those that only repeat another one."""
    keys = list(dict.fromkeys(key for recipe in recipes for key in recipe))
    patterns: dict[str, str] = {}
    for key in keys:
        values = [str(recipe.get(key)) for recipe in recipes]
        if len(set(values)) > 1:
            numbers = {value: i for i, value in enumerate(dict.fromkeys(values))}
            patterns.setdefault(str([numbers[value] for value in values]), key)
    return list(patterns.values())


def _word(value: Any) -> str:
    """Return a setting's value as part of a name: the last part of a dotted path."""
    return str(value).rsplit(".", 1)[-1] if isinstance(value, str) else "-" if value is None else f"{value:g}"
