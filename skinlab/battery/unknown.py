"""Unknown: images that are no dermoscopy, or of no known class, and what lets them through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logsumexp, softmax

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Image, Model
from skinlab.battery.places import drawn_rows
from skinlab.battery.probe import Findings, Probe, Shown, require_home
from skinlab.data.images import read_image
from skinlab.errors import UserError
from skinlab.evaluation.shift.detection import FALSE_ALARMS, Detected, detect, flag_missed
from skinlab.evaluation.shift.form import Table
from skinlab.inference.ensembling import combine_members
from skinlab.inference.gate import FIT, SIZE, Gate, foreign_images
from skinlab.inference.gate_fitting import KINDS, fit_run_gate, read_gate_split
from skinlab.inference.inputs import find_images
from skinlab.processes.cores import available_cores, thread_pool

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Foreign:
    """Foreign images ``(n, S, S, 3)``, the group ``(n,)`` of each, and their files where they are some."""

    pixels: Image
    groups: npt.NDArray[np.object_]
    paths: pd.Series[str] | None = None


@dataclass(frozen=True)
class Unknown(Probe):
    """The AUROC of telling foreign images from home's, and the share that gets through at 1 % false alarms.

    The scores are the maximum probability, the energy of the logits (Liu et al., 2020) and the input gate's distance.

    Args:
        folder: of images that the model is not for, or a table of them; None for those that are drawn alone.
        n_images: of each kind at most.
        gate_images: images of each split that an input gate is fitted on, where the model has none.

    Raises:
        UserError: the folder has no images.
    """

    folder: str | None = None
    n_images: int = 100
    gate_images: int = 3000
    title: ClassVar[str] = "Unknown"
    question: ClassVar[str] = "Does anything stop an image that is no dermoscopy, or of no known class?"

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted.

        Raises:
            UserError: there are no images in the folder.
        """
        home = require_home(bench)
        kinds = [home.rows[: self.n_images]] * KINDS
        return len(home) + sum(len(rows) for rows in [*kinds, *self._files(bench).values()])

    def run(self, bench: Bench) -> Findings:
        """Return what each score lets through of each kind."""
        home, found = require_home(bench), Findings()
        gate = self._gate(bench, found)
        genuine = _scores(home.model, home.pixels, gate, home.rows["path"])
        level, home_groups = bench.yardstick.level, home.rows["group"].to_numpy(object)
        detected: dict[str, dict[str, Detected]] = {}
        for kind, foreign in self._foreign(bench, home).items():
            scores = _scores(home.model, foreign.pixels, gate, foreign.paths)
            detected[kind] = {
                name: detect(genuine[name], home_groups, scores[name], foreign.groups, level=level, seed=bench.seed)
                for name in genuine
            }
            found.pictures.append(Shown("One image of each kind", kind, foreign.pixels[0]))
            found.tables = [_table(detected, len(home))]
        found.flags = flag_missed(detected)
        found.notes.append(
            "Energy is of the networks' logits, before a calibrator. Thresholds are those with "
            f"{FALSE_ALARMS:.0%} false alarms on home's images in each bootstrap sample."
        )
        return found

    def _gate(self, bench: Bench, found: Findings) -> Gate | None:
        """Return the model's input gate, else one fitted as ``skinlab.bundle gate=fit`` does."""
        if bench.model.bundle.gate is not None:
            return bench.model.bundle.gate
        if bench.run is None:
            found.notes.append("No input gate: the bundle has none, and there is no run to fit one on; set home=RUN.")
            return None
        try:
            split = read_gate_split(None, [str(bench.run)])
            gate, _ = fit_run_gate(
                split, alarms=FALSE_ALARMS, limit=self.gate_images, num_workers=available_cores(), seed=bench.seed
            )
        except UserError as error:
            found.notes.append(f"No input gate: {error}.")
            return None
        found.notes.append("The model has no input gate; one was fitted as skinlab.bundle gate=fit does.")
        return gate

    def _files(self, bench: Bench) -> dict[str, pd.DataFrame]:
        """Return kind → rows with ``path`` and ``group`` of the images that are files, ``n_images`` at most."""
        found = {}
        if self.folder is not None:
            try:
                listed = find_images(self.folder)
            except UserError as error:
                raise UserError(str(error).replace("input=", "probe.unknown.folder=", 1)) from None
            found["images of the folder"] = listed.assign(group=listed["path"])
        if bench.outside is not None and len(bench.outside.no_class):
            found["images of no known class"] = bench.outside.no_class
        return {
            kind: rows.iloc[drawn_rows(rows, self.n_images, bench.seed)].reset_index(drop=True)
            for kind, rows in found.items()
        }

    def _foreign(self, bench: Bench, home: ImageSet) -> dict[str, _Foreign]:
        """Return kind → foreign images: those that are drawn or made of home's, and the files."""
        rows = np.sort(np.random.default_rng(bench.seed).permutation(len(home))[: self.n_images])
        groups = home.rows["group"].to_numpy(object)[rows]
        found = {kind: _Foreign(each, groups) for kind, each in foreign_images(home.pixels[rows], bench.seed).items()}
        for kind, each in self._files(bench).items():
            found[kind] = _Foreign(home.model.read(each["path"].tolist()), each["group"].to_numpy(object), each["path"])
        return found


def _scores(model: Model, pixels: Image, gate: Gate | None, paths: pd.Series[str] | None) -> dict[str, Floats]:
    """Return score → ``(N,)`` of N images, the higher the more foreign.

    Args:
        model: that predicts them.
        pixels: ``(N, S, S, 3)``.
        gate: None for none.
        paths: their files, which the gate reads; None: it takes the pixels.
    """
    logits = model.logits(pixels)
    probabilities = combine_members(model.bundle, np.stack([softmax(each, 1) for each in logits]))
    found = {
        "maximum probability": -probabilities.max(1),
        "energy": -np.mean([logsumexp(each, 1) for each in logits], axis=0),
    }
    if gate is not None:
        with thread_pool() as pool:
            images = pixels if paths is None else pool.map(lambda path: read_image(path, SIZE, FIT), paths)
            found["input gate"] = gate.distance_ratio(np.array(list(pool.map(gate.statistics, images))))
    return found


def _table(detected: Mapping[str, Mapping[str, Detected]], n_home: int) -> Table:
    """Return the table of all kinds and scores."""
    names = list(next(iter(detected.values())))
    columns = [part for name in names for part in (f"AUROC, {name}", f"Let through, {name}")]
    return {
        "title": f"Foreign images against {n_home} at home; let through: the share at {FALSE_ALARMS:.0%} false alarms",
        "columns": ["Kind", *columns],
        "rows": [
            {"name": kind, "cells": [cell for name in names for cell in (found[name].auroc, found[name].let_through)]}
            for kind, found in detected.items()
        ],
    }
