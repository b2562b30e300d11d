"""Find the systems of an evaluation: tables, runs and sweeps, with pooled folds and seeds as replicates."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skinlab.assessment.sources import ensemble_table, fit_cautions, is_ensemble, table_source
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.ensembles.alignment import align_rows
from skinlab.evaluation.ensembles.pooling import mean_predictions, pool_folds
from skinlab.evaluation.evidence.form import Source
from skinlab.evaluation.predictions import Predictions
from skinlab.json_files import read_json
from skinlab.settings.recipes import by_recipe, tell_apart
from skinlab.settings.recorded import how_to_finish, is_training, read_recorded
from skinlab.tables.csv_files import read_csv
from skinlab.tables.image_hashes import with_image_hashes
from skinlab.tables.predictions import TableReader

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run directory with predictions, its config and what it says of itself."""

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]


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
        place: where it was found, as it was set; "" where several systems were found there.
        selection_how: how the probabilities of the rows to choose on were made, in words; "" as those of the tables.
        not_common: how many of its images are left out since another system lacks them or their labels.
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
    place: str = ""
    selection_how: str = ""
    not_common: int = 0

    @property
    def run(self) -> Run | None:
        """The first run; None for a table."""
        return self.runs[0] if self.runs else None

    @property
    def of_unknown_origin(self) -> bool:
        """Whether it is a table of which nothing beside it says by which model it was made."""
        return not self.runs and not any(each["meta"] for each in self.sources)

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
        places: tables, run directories, folders of runs, or of ensembles.
        split: ``auto``, ``val`` or ``test``, which rows of a run (auto: val), and of a table that has several.
        reader: of the tables.

    Raises:
        UserError: whatever is wrong with them.
    """
    tables = [path for place in places if (path := Path(place).expanduser()).is_file()]
    reader, systems = (reader or TableReader()).for_tables(tables), []
    for place in places:
        path = Path(place).expanduser()
        with user_errors():
            if path.is_dir() and not any((path / name).exists() for name in ("predictions", "config.yaml")):
                found = _sweep(path, split, reader)
            elif path.is_dir() and is_ensemble(path):
                found = [replace(_table_system(ensemble_table(path, split), split, reader), name=path.name)]
            elif path.is_dir():
                found = [run_system(open_run(path), split, reader)]
            else:
                found = [_table_system(path, split, reader)]
        systems += [replace(found[0], place=place)] if len(found) == 1 else found
    return systems


def open_run(path: Path) -> Run:
    """Read a run's config and metrics.

    Raises:
        UserError: they are not there or can't be read.
    """
    if not (path / "config.yaml").exists():
        raise UserError(f"{path} is no run (no config.yaml); give a run or, to evaluate it, predictions/val.csv")
    if not (path / "metrics.json").exists():
        raise UserError(f"{path}: {how_to_finish(path)}, or give its predictions/val.csv or test.csv")
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
        not_common=table.not_common,
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
    return System(_run_name(run.path), [rows], [table_source(path, table)], runs=[run], cautions=table.cautions)


def run_system(run: Run, split: str, reader: TableReader) -> System:
    """Return the system of one run; on its test the validation rows are those to choose on.

    Raises:
        UserError: its predictions are missing or damaged.
    """
    split = "val" if split == "auto" else split  # the test is opened only where it is named
    system = _run_table(run, split, reader)
    selections = _run_table(run, "val", TableReader()).tables if split == "test" else []
    return replace(system, selections=selections)


def _run_name(run: Path) -> str:
    """Return the name of a run's folder, of a numbered one with that of its sweep: a class may be called 0, too.

    >>> _run_name(Path("runs/focal")), _run_name(Path("SWEEP/0"))
    ('focal', 'SWEEP/0')
    """
    return f"{run.absolute().parent.name}/{run.name}" if run.name.isdigit() else run.name


def _sweep(folder: Path, split: str, reader: TableReader) -> list[System]:
    """Return a system a recipe: seeds side by side, folds pooled, or on the test side by side too."""
    found = sorted(path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/predictions"))
    started = {path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/config.yaml")}
    if unfinished := sorted(path for path in started - set(found) if is_training(path)):
        log.warning("%s is left out: %s", some(unfinished), how_to_finish(unfinished[0]))
    if not found:
        raise UserError(f"{folder} holds no run with predictions; give a run, a folder of runs, or a table")
    runs = [open_run(path) for path in found]
    recipes = [[runs[i] for i in members] for members in by_recipe([run.config for run in runs])]
    names = tell_apart([members[0].config for members in recipes])
    return [
        combined(name or folder.name, [run_system(run, split, reader) for run in members], split)
        for name, members in zip(names, recipes, strict=True)
    ]


def combined(name: str, parts: Sequence[System], split: str) -> System:
    """Return the runs of one recipe as a system: folds pooled, or on the test side by side, as seeds always are.

    Args:
        name: of the system.
        parts: a system a run, see :func:`run_system`.
        split: ``auto``, ``val`` or ``test``.

    Raises:
        ValueError: a fold is missing or there twice, or seeds are of other rows.
    """
    if len(parts) == 1:
        return replace(parts[0], name=name)
    of_folds = len({part.runs[0].config["data"]["fold"] for part in parts}) > 1
    pooled = of_folds and split in ("auto", "val")
    if pooled:
        seeds = [part.runs[0].config["seed"] for part in parts]
        parts = [part for _, part in sorted(zip(map(seeds.index, seeds), parts, strict=True), key=lambda each: each[0])]
    whole = _pooled(name, parts) if pooled else _side_by_side(name, parts)
    texts = [f"{part.runs[0].path}: {text}" for part in parts for text in part.cautions]
    sources, runs = [each for part in parts for each in part.sources], [part.runs[0] for part in parts]
    return replace(whole, sources=sources, runs=runs, cautions=texts)


def _pooled(name: str, parts: Sequence[System]) -> System:
    """Put the validation folds of each seed together."""
    by_seed: dict[int, list[System]] = {}
    for part in parts:
        by_seed.setdefault(part.runs[0].config["seed"], []).append(part)
    tables = []
    for members in by_seed.values():
        rows = read_csv(members[0].runs[0].path / "split.csv", ["image_id", "fold", "split"])
        tables.append(
            pool_folds(
                [part.tables[0] for part in members],
                [part.runs[0].config["data"]["fold"] for part in members],
                n_folds=members[0].runs[0].config["data"]["n_folds"],
                # Also images whose labels a budget hides: their fold validates on them.
                expected=rows["image_id"][(rows["fold"] != "-1") & (rows["split"] != "")],
                name=name,
            )
        )
    tables = align_rows(tables, [f"{name} (seed {seed})" for seed in by_seed])
    axis = "seed" if len(tables) > 1 else None
    return System(name, tables, [], replicate_axis=axis, replicate_ids=list(by_seed), pooled=True)


def _side_by_side(name: str, parts: Sequence[System]) -> System:
    runs = [part.runs[0] for part in parts]
    axis = "fold" if len({run.config["data"]["fold"] for run in runs}) > 1 else "seed"
    tables = align_rows([part.tables[0] for part in parts], [str(run.path) for run in runs])
    keys = [run.config["seed"] if axis == "seed" else run.config["data"]["fold"] for run in runs]
    if len(set(keys)) < len(keys):
        raise UserError(f"{runs[0].path.parent}: several runs of {name} have the same {axis}; give those you mean")
    return System(name, tables, [], _selections(parts, axis), replicate_axis=axis, replicate_ids=keys)


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
