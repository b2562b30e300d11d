"""Leave one source out: the model against trainings that each had all sources but one, on the images of that source."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from skinlab.battery.bench import Bench
from skinlab.battery.model import Model
from skinlab.battery.probe import Findings, NotRunError, Probe, require_home
from skinlab.errors import UserError
from skinlab.evaluation.predictions import as_written
from skinlab.evaluation.shift.flags import flag_changes, span
from skinlab.evaluation.shift.form import Condition, Table
from skinlab.evaluation.shift.origin import Side, compare_trainings
from skinlab.inference.bundle import Bundle, load_bundle
from skinlab.inference.models import BEST, sweep_runs
from skinlab.settings.recipes import by_recipe, tell_apart
from skinlab.settings.recorded import how_to_finish, is_finished, read_recorded, recorded_data
from skinlab.tables.csv_files import read_csv
from skinlab.text import quantity

MAY_DIFFER = ("split", "n_folds", "root", "reader")  # of the data of two trainings that are compared
CAVEATS = (
    "These trainings have fewer images than the model's, and fewer of the classes that the source is rich in: source "
    "and diagnosis are confounded, and a matched class mix removes what follows from the mix of the images evaluated, "
    "not from that of the training. Their best epoch was chosen on the source they left out, which favours them; their "
    "decisions are at the model's frozen threshold, the AUROC is at none."
)


@dataclass(frozen=True)
class Training:
    """A training that left a source out.

    Attributes:
        run: directory.
        source: that it left out.
        train: ids of its training images.
        others: ids of its other images.
        bundle: its network.
    """

    run: Path
    source: str
    train: frozenset[str]
    others: frozenset[str]
    bundle: Bundle

    def evaluated(self, rows: pd.DataFrame) -> np.ndarray:
        """Mark the images of the source that is left out, none of them in the training."""
        return np.asarray((rows["source"] == self.source) & ~rows["image_id"].isin(self.train))


@dataclass(frozen=True)
class LeaveOneSourceOut(Probe):
    """Each source's images at home, by the model and by a training without that source.

    Args:
        left_out: folder of the trainings, a sweep of ``sweep=sources``; None where there are none.
    """

    left_out: str | None = None
    title: ClassVar[str] = "Leave one source out"
    question: ClassVar[str] = "Would it have worked on a source that its training did not have?"

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted.

        Raises:
            NotRunError: there are no such trainings, or the images at home have no source.
            UserError: the trainings are not finished, or not those of the model without a source.
        """
        home = require_home(bench)
        if self.left_out is None:
            raise NotRunError(
                "it needs trainings that each leave one source out: "
                f"{_command(bench.run)} with the settings of the model, then left_out=SWEEP"
            )
        if (home.rows["source"] == "").all():
            raise NotRunError("the images at home have no source: use data with a column source")
        _check(self._trainings, bench)
        return sum(int(each.evaluated(home.rows).sum()) for each in self._trainings)

    def run(self, bench: Bench) -> Findings:
        """Return the metrics on each source of the model and of the training without it, raw and at home's case mix."""
        home, found = require_home(bench), Findings(reference="the model, which had the source, on the same images")
        whole = Side(home.name, home.clean, home.own_thresholds)
        for each in self._trainings:
            rows = each.evaluated(home.rows)
            if rows.any():
                probabilities = as_written(Model(each.bundle, bench.model.device).predict(home.pixels[rows]))
                table = home.clean.take(rows).with_probabilities(probabilities)
                left_out = Side(f"{each.source} left out", table)
                found.conditions += compare_trainings(whole, rows, left_out, each.source, bench.yardstick)
        if others := sorted(set(home.rows["source"]) - {"", *(each.source for each in self._trainings)}):
            found.notes.append(f"Of no training left out: {', '.join(others)}.")
        found.flags = flag_changes(found.conditions, "")
        found.tables = [_counts(home.rows)]
        found.notes += [*_remains(found.conditions), CAVEATS]
        return found

    @cached_property
    def _trainings(self) -> Sequence[Training]:
        """The trainings, in the order of their sources."""
        runs = sweep_runs(str(self.left_out))
        if not runs:
            raise UserError(f"left_out={self.left_out} is no folder of runs; make it: {_command(None)}")
        found = sorted(map(_read_training, runs), key=lambda each: each.source)
        for each, other in itertools.pairwise(found):
            if each.source == other.source:
                names = f"{each.run.name} and {other.run.name}"
                raise UserError(f"left_out={self.left_out}: {names} both leave out {each.source}; remove one of them")
        return found


def _command(run: Path | None) -> str:
    """Return the command that trains without each source in turn, on the data of a run where there is one."""
    data = recorded_data(run) if run else ""
    return f"python -m skinlab.train -m sweep=sources {data or 'data=DATA data.root=DIR'}"


def _read_training(run: Path) -> Training:
    """Return what a run left out.

    Raises:
        UserError: it is not finished, or its folds are not the sources.
    """
    if not is_finished(run):
        raise UserError(f"left_out={run.parent}: {run.name}: {how_to_finish(run)}, or remove it")
    data = read_recorded(run, {"data.name": str})["data"]
    if data["split"] != "source":
        raise UserError(f"left_out={run.parent}: {run.name} has data.split={data['split']}; make it: {_command(run)}")
    rows = read_csv(run / "split.csv", ["image_id", "source", "split", "group"])
    train = rows["split"] == "train"
    source = str(rows["source"][rows["split"] == "val"].mode().iloc[0])  # few lesions have images of two sources
    ids = rows["image_id"]
    return Training(run, source, frozenset(ids[train]), frozenset(ids[~train]), load_bundle(run / BEST))


def _check(trainings: Sequence[Training], bench: Bench) -> None:
    """Refuse trainings that are not those of the model without a source.

    Raises:
        UserError: the model lacks a source itself, or a training is of another recipe, other images or other classes.
    """
    if bench.run and read_recorded(bench.run, {"data.name": str})["data"].get("split") == "source":
        raise UserError(
            f"left_out={trainings[0].run.parent}: the model of {bench.run} was trained without a source itself "
            "(data.split=source); give a model that had all sources, ckpt=RUN of a training with data.split=random"
        )
    ids = set(require_home(bench).rows["image_id"])
    recipe = _recipe(bench.run) if bench.run else None
    for each in trainings:
        fault = ""
        if recipe and len(by_recipe(pair := [recipe, _recipe(each.run)])) > 1:
            model, other = tell_apart(pair)
            fault = f"is of another recipe, {other}, than the model, {model}"
        elif missing := len(ids - each.train - each.others):
            fault = f"is of other data: its split.csv lacks {missing} of the {len(ids)} images at home"
        elif each.bundle.outputs != bench.model.bundle.outputs:
            fault = f"has other classes, {', '.join(each.bundle.outputs)}, than the model"
        if fault:
            remedy = f"train with the settings of the model: {_command(bench.run)}"
            raise UserError(f"left_out={each.run.parent}: {each.run.name} {fault}; {remedy}")


def _recipe(run: Path) -> dict[str, Any]:
    """Return the config of a run, without what a split by source and the place of the data may change."""
    config = read_recorded(run, {"data.name": str})
    return config | {"data": {name: value for name, value in config["data"].items() if name not in MAY_DIFFER}}


def _counts(rows: pd.DataFrame) -> Table:
    """Return how many images of each class the sources have, which shows how source and diagnosis are tied."""
    table = pd.crosstab(rows["source"].replace("", "unknown"), rows["label"])
    return {
        "title": "Images at home by source and class: source and diagnosis are confounded",
        "columns": ["Source", *map(str, table.columns)],
        "rows": [{"name": str(name), "cells": [int(n) for n in counts]} for name, counts in table.iterrows()],
    }


def _remains(conditions: Sequence[Condition]) -> list[str]:
    """Return what remains of each source's change of sensitivity and AUROC at matched class mix."""
    matched = [each for each in conditions if each["dose"] and each["changes"]]
    parts = [
        f"{each['name']}: sensitivity {span(each['changes']['sensitivity'])}, "
        f"AUROC {span(each['changes']['auroc/positive'])}"
        for each in matched
    ]
    small = quantity(len({each["name"] for each in conditions}) - len(parts), "source")
    return [
        f"What remains at home's case mix: {'; '.join(parts) or 'nothing can be compared'}; {small} too small for it."
    ]
