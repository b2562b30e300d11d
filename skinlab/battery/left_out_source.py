"""Leave one source out: the model against trainings that each had all sources but one, on the images of that source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Model
from skinlab.battery.probe import Findings, NotRunError, Probe, require_home
from skinlab.errors import UserError
from skinlab.evaluation.shift.flags import flag_changes, span
from skinlab.evaluation.shift.form import Condition, Table
from skinlab.evaluation.shift.origin import Side, compare_trainings
from skinlab.inference.bundle import load_bundle
from skinlab.inference.models import BEST, sweep_runs
from skinlab.settings.recorded import recorded_data
from skinlab.tables.csv_files import read_csv
from skinlab.text import quantity

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
    """

    run: Path
    source: str
    train: frozenset[str]


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
        """Return how many images are predicted."""
        home = require_home(bench)
        if self.left_out is None:
            data = recorded_data(bench.run) if bench.run else ""
            raise NotRunError(
                "it needs trainings that each leave one source out: python -m skinlab.train -m sweep=sources "
                f"{data or 'data=…'} with the settings of the model, then left_out=SWEEP"
            )
        if (home.rows["source"] == "").all():
            raise NotRunError("the images at home have no source: use data with a column source")
        return sum(int(_evaluated(home.rows, each).sum()) for each in self._trainings)

    def run(self, bench: Bench) -> Findings:
        """Return the metrics on each source of the model and of the training without it, raw and at home's case mix."""
        home, found = require_home(bench), Findings(reference="the model, which had the source, on the same images")
        whole = Side(home.name, home.clean, home.own_thresholds)
        for each in self._trainings:
            rows = _evaluated(home.rows, each)
            if not rows.any():
                found.notes.append(f"{each.source}: no images at home that {each.run.name} was not trained on.")
                continue
            bundle = load_bundle(each.run / BEST)
            if bundle.outputs != bench.model.bundle.outputs:
                raise NotRunError(f"{each.run} has other classes than the model: use the same data.label_map")
            images = replace(_of(home, rows), model=Model(bundle, bench.model.device))
            left_out = Side(f"{each.source} left out", images.clean)
            found.conditions += compare_trainings(whole, rows, left_out, each.source, bench.yardstick)
        found.flags = flag_changes(found.conditions, "")
        found.tables = [_counts(home.rows)]
        found.notes += [*_remains(found.conditions), CAVEATS]
        return found

    @cached_property
    def _trainings(self) -> Sequence[Training]:
        """The trainings, in the order of their sources."""
        runs = sweep_runs(str(self.left_out))
        if not runs:
            raise UserError(
                f"left_out={self.left_out} holds no runs; make them: python -m skinlab.train -m sweep=sources data=…"
            )
        return sorted(map(_read_training, runs), key=lambda each: each.source)


def _read_training(run: Path) -> Training:
    """Return what a run left out.

    Raises:
        UserError: it is not finished, or its training part has the source of its validation part.
    """
    if not (run / BEST).is_file() or not (run / "split.csv").is_file():
        raise UserError(f"left_out={run.parent}: {run.name} is not finished; finish the sweep, or remove that run")
    rows = read_csv(run / "split.csv", ["image_id", "source", "split", "group"])
    train, val = rows[rows["split"] == "train"], rows[rows["split"] == "val"]
    source = str(val["source"].mode().iloc[0]) if len(val) else ""
    if not source or len(train) < 1 or (train["source"] == source).mean() > 0.01:  # lesions of two sources remain
        raise UserError(
            f"left_out={run.parent}: {run.name} leaves no source out; make the runs by python -m skinlab.train -m "
            "sweep=sources"
        )
    return Training(run, source, frozenset(train["image_id"]))


def _evaluated(rows: pd.DataFrame, training: Training) -> np.ndarray:
    """Mark the images of the source that is left out, none of them in the training."""
    return np.asarray((rows["source"] == training.source) & ~rows["image_id"].isin(training.train))


def _of(images: ImageSet, rows: np.ndarray) -> ImageSet:
    return replace(images, rows=images.rows[rows].reset_index(drop=True), own_thresholds=None)


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
