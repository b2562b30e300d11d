"""Find the systems of an evaluation: tables, runs and sweeps, with pooled folds and seeds as replicates."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skinlab.assessment.sources import fit_cautions, table_source
from skinlab.errors import UserError, user_errors
from skinlab.evaluation.ensembles.alignment import align_rows, one_order
from skinlab.evaluation.ensembles.pooling import mean_predictions, pool_folds
from skinlab.evaluation.evidence.form import Source
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.statistics.grouping import same_grouping, share_groups
from skinlab.json_files import read_json
from skinlab.settings.base import is_among, names_that_may_differ
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.recorded import leaves, read_recorded
from skinlab.tables.csv_files import read_csv
from skinlab.tables.image_hashes import with_image_hashes
from skinlab.tables.positive import positive_class
from skinlab.tables.predictions import TableReader
from skinlab.tables.same_names import with_names_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run directory with predictions, its config and what it says of itself."""

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def recipe(self) -> dict[str, Any]:
        """What the run shares with the other folds and seeds of its recipe."""
        may_differ = names_that_may_differ(TrainSettings, "recipe")
        return {name: value for name, value in leaves(self.config) if not is_among(name, may_differ)}


@dataclass(frozen=True)
class System:
    """What is evaluated under one name.

    Attributes:
        name: what the report calls it.
        tables: predictions of the same rows, one a seed (or a fold's model on a test they share).
        selections: rows of the same run on which rules may be chosen, if the tables are of others: one a table, or
            those of all folds together.
        replicate_axis: in what the tables differ, ``seed`` or ``fold``.
        replicate_ids: the seed or fold of each table.
        pooled: whether the rows are the validation folds of several runs put together.
        sources: the files, with hash, split, rows and meta.
        runs: the runs behind it, none for a table.
        groups_from: the systems whose groups are used instead of its own; None where its own are.
        cautions: about how its tables were read.
    """

    name: str
    tables: list[Predictions]
    sources: list[Source]
    selections: list[Predictions] = field(default_factory=list)
    replicate_axis: str | None = None
    replicate_ids: list[int] = field(default_factory=list)
    pooled: bool = False
    runs: list[Run] = field(default_factory=list)
    groups_from: str | None = None
    cautions: list[str] = field(default_factory=list)

    @property
    def run(self) -> Run | None:
        """The first run; None for a table."""
        return self.runs[0] if self.runs else None

    @property
    def parts(self) -> list[Predictions]:
        """The tables, and the rows to choose on if there are any."""
        return [*self.tables, *self.selections]

    @property
    def selection(self) -> Predictions | None:
        """The rows to choose on, with the mean of the seeds' probabilities; None where there are none."""
        return mean_predictions(self.selections) if self.selections else None

    def with_parts(self, parts: Sequence[Predictions]) -> System:
        """Return the system with other tables and rows to choose on, as many as ``parts`` gave."""
        n = len(self.tables)
        return replace(self, tables=list(parts[:n]), selections=list(parts[n:]))

    @property
    def training_prior(self) -> list[float] | None:
        """Shares of the classes that cross-entropy was trained on; None where files or another loss leave it open.

        So does a view of other classes than the runs', such as an overlap's.
        """
        classes = self.tables[0].classes
        metas = [each["meta"] for each in self.sources if each["meta"].get("loss") == "CrossEntropy"]
        priors = [
            dict(zip(meta.get("classes") or [], meta.get("training_prior") or [], strict=False)) for meta in metas
        ]
        if len(metas) < len(self.sources) or any(prior.keys() != set(classes) for prior in priors):
            return None
        return [sum(prior[name] for prior in priors) / len(priors) for name in classes]


def find_systems(places: Sequence[str], *, split: str, reader: TableReader | None = None) -> list[System]:
    """Return the systems that are meant, their rows checked.

    Args:
        places: tables, run directories, or folders of runs.
        split: ``auto``, ``val`` or ``test``, which rows of a run (auto: val), and of a table that has several.
        reader: of the tables.

    Raises:
        UserError: whatever is wrong with them.
    """
    reader, systems = reader or TableReader(), []
    for place in places:
        path = Path(place).expanduser()
        with user_errors():
            if path.is_dir() and not (path / "predictions").is_dir():
                systems += _sweep(path, split, reader)
            elif path.is_dir():
                systems.append(_run_system(open_run(path), split, reader))
            else:
                systems.append(_table_system(path, split, reader))
    names = [system.name for system in systems]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise UserError(f"predictions= names {repeated} twice; give each system once, under a file name of its own")
    return systems


def align(systems: Sequence[System], positive: Sequence[str] | None = None) -> list[System]:
    """Bring the rows of all systems into the order of the first and one grouping; of two classes the positive is last.

    Args:
        systems: as :func:`find_systems` gave them.
        positive: the positive classes that the user names; of two classes the runs or the names tell, if left out.

    Raises:
        ValueError: they are predictions of other rows, other classes or other labels, their groups contradict, or which
            of two classes is positive is not known.
    """
    first, *others = systems
    systems = [first, *(system.with_parts(with_names_of(first.parts, system.parts)) for system in others)]
    systems = _positive_last(systems, positive)
    names, tables = zip(*((system.name, table) for system in systems for table in system.tables), strict=True)
    ordered = iter(one_order(tables, names))
    systems = [replace(system, tables=[next(ordered) for _ in system.tables]) for system in systems]
    shared, origin = share_groups([system.parts for system in systems], [system.name for system in systems])
    return [_regrouped(system, part, origin) for system, part in zip(systems, shared, strict=True)]


def _positive_last(systems: Sequence[System], chosen: Sequence[str] | None) -> list[System]:
    """Put the positive one of two classes last in every table."""
    classes = systems[0].tables[0].classes
    if len(classes) != 2:
        return list(systems)
    metas = [source["meta"] for system in systems for source in system.sources]
    recorded = {name for meta in metas for name in meta.get("positive") or () if name in classes}
    name = positive_class(classes, chosen or (list(recorded) if len(recorded) == 1 else None))

    def ordered(table: Predictions) -> Predictions:
        return table.positive_last(name) if name in table.classes else table  # other classes are refused later

    return [system.with_parts([ordered(table) for table in system.parts]) for system in systems]


def _regrouped(system: System, part: Sequence[Predictions], origin: str) -> System:
    """Return a system with the tables that share one grouping, noting whose it is where it is another's."""
    groups_from = system.groups_from if same_grouping(system.tables[0], part[0]) else origin
    return replace(system.with_parts(part), groups_from=groups_from)


def open_run(path: Path) -> Run:
    """Read a run's config and metrics.

    Raises:
        UserError: they are not there or can't be read.
    """
    missing = [name for name in ("config.yaml", "metrics.json") if not (path / name).exists()]
    if missing:
        raise UserError(
            f"{path} is no finished run (no {missing[0]}); finish it, or give its predictions/val.csv or test.csv"
        )
    config = read_recorded(path, {"data.fold": int, "data.n_folds": int, "seed": int})
    metrics = read_json(path / "metrics.json", "metrics of a run", {}, remedy="finish the run, or evaluate its tables")
    if config.get("run_id") != metrics.get("run_id"):  # its last line
        raise UserError(f"{path}/config.yaml is cut off, or not that of {path}/metrics.json; copy the run again")
    return Run(path, config, metrics)


def _table_system(path: Path, split: str, reader: TableReader) -> System:
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a predictions table or a run directory")
    table = reader.read(path, split)
    return System(
        path.stem,
        [table.rows],
        [table_source(path, table)],
        selections=[table.selection] if table.selection else [],
        cautions=[*table.cautions, *fit_cautions(path, table.rows)],
    )


def _run_table(run: Run, split: str, reader: TableReader) -> System:
    """Return a split's predictions of a run."""
    path = run.path / "predictions" / f"{split}.csv"
    table = reader.read(path, ours=True)
    if (run.path / "split.csv").exists():
        split_rows = read_csv(run.path / "split.csv", ["split", "label"])
        labels = split_rows["label"][split_rows["split"] == split]
        if not (labels != "").sum() <= len(table.rows) <= len(labels):
            raise UserError(
                f"{path} holds {len(table.rows)} labelled images, {run.path}/split.csv {len(labels)} of {split}: "
                "one is cut off; copy the run again, or give the table itself"
            )
    rows = with_image_hashes(table.rows, run.path / "split.csv")
    return System(run.path.name, [rows], [table_source(path, table)], runs=[run], cautions=table.cautions)


def _run_system(run: Run, split: str, reader: TableReader, name: str | None = None) -> System:
    split = "val" if split == "auto" else split  # the test is opened only where it is named
    system = _run_table(run, split, reader)
    selections = _run_table(run, "val", TableReader()).tables if split == "test" else []
    return replace(system, name=name or system.name, selections=selections)


def _sweep(folder: Path, split: str, reader: TableReader) -> list[System]:
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
            systems.append(_run_system(members[0], split, reader, name))
        elif len(folds) > 1 and split in ("auto", "val"):
            systems.append(_pooled(name, members, reader))
        else:
            systems.append(_side_by_side(name, members, split, reader))
    return systems


def _pooled(name: str, runs: Sequence[Run], reader: TableReader) -> System:
    """Put the validation folds of each seed together."""
    by_seed: dict[int, list[Run]] = {}
    for run in runs:
        by_seed.setdefault(run.config["seed"], []).append(run)
    tables, parts = [], []
    for members in by_seed.values():
        read = [_run_table(run, "val", reader) for run in members]
        rows = read_csv(members[0].path / "split.csv", ["image_id", "fold", "split"])
        tables.append(
            pool_folds(
                [part.tables[0] for part in read],
                [run.config["data"]["fold"] for run in members],
                n_folds=members[0].config["data"]["n_folds"],
                # Also images whose labels a budget hides: their fold validates on them.
                expected=rows["image_id"][(rows["fold"] != "-1") & (rows["split"] != "")],
                name=name,
            )
        )
        parts += read
    tables = align_rows(tables, [f"{name} (seed {seed})" for seed in by_seed])
    axis = "seed" if len(tables) > 1 else None
    whole = System(
        name, tables, _sources(parts), replicate_axis=axis, replicate_ids=list(by_seed), pooled=True, runs=list(runs)
    )
    return replace(whole, cautions=_cautions(parts))


def _side_by_side(name: str, runs: Sequence[Run], split: str, reader: TableReader) -> System:
    axis = "fold" if len({run.config["data"]["fold"] for run in runs}) > 1 else "seed"
    systems = [_run_system(run, split, reader) for run in runs]
    tables = align_rows([each.tables[0] for each in systems], [str(run.path) for run in runs])
    keys = [run.config["seed"] if axis == "seed" else run.config["data"]["fold"] for run in runs]
    if len(set(keys)) < len(keys):
        raise UserError(f"{runs[0].path.parent}: several runs of {name} have the same {axis}; give those you mean")
    whole = System(
        *(name, tables, _sources(systems), _selections(systems, axis)),
        replicate_axis=axis,
        replicate_ids=keys,
        runs=list(runs),
    )
    return replace(whole, cautions=_cautions(systems))


def _selections(systems: Sequence[System], axis: str) -> list[Predictions]:
    """Return the validation rows of runs on one test: one table a seed, or the folds' rows put together.

    Without validation rows in common (seeds), or of all folds, there are none to choose rules on.
    """
    found = [each.selections[0] for each in systems if each.selections]
    if len(found) < len(systems):
        return []
    folds = [system.runs[0].config["data"]["fold"] for system in systems]
    try:
        if axis == "seed":
            return align_rows(found, [str(system.runs[0].path) for system in systems])
        return [pool_folds(found, folds, n_folds=systems[0].runs[0].config["data"]["n_folds"])]
    except ValueError as error:
        log.warning("no validation images to choose rules on: %s", error)
        return []


def _sources(parts: Sequence[System]) -> list[Source]:
    return [each for part in parts for each in part.sources]


def _cautions(parts: Sequence[System]) -> list[str]:
    return [f"{part.runs[0].path}: {text}" for part in parts for text in part.cautions]


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
