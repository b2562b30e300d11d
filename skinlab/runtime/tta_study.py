"""What test-time augmentations are worth to a run: predictions by each, their cost, and the paired comparison."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.progress import track

from skinlab.data.datamodule import loading_processes
from skinlab.data.dataset import batch_loader
from skinlab.data.images import printable
from skinlab.data.manifest import some
from skinlab.data.samplers import EvalSampler
from skinlab.errors import UserError
from skinlab.evaluation.metrics import classification_metrics
from skinlab.evaluation.predictions import COLUMNS, DECIMALS, predictions_table, table_arrays
from skinlab.files import claim
from skinlab.models.bundle import Bundle, best_device, load_bundle
from skinlab.models.inference import Network, predict_probabilities, tta_views
from skinlab.runtime.evaluating import build_evidence, check_settings, write_evidence
from skinlab.runtime.prediction_tables import read_predictions
from skinlab.runtime.readable_images import Readable
from skinlab.runtime.run_directory import write_json, write_text
from skinlab.runtime.systems import Run, System, open_run, source
from skinlab.tables import read_csv

log = logging.getLogger(__name__)

REFERENCE = "none"
BATCH = 64  # a whole number of the steps that the network takes
WARM_UP = 8  # images shown before the clock runs


def compare_views(config: dict[str, Any]) -> None:
    """Predict a split of the run ``ckpt`` by each of ``views``, and write predictions, costs and evidence.

    Args:
        config: the resolved config of ``conf/tta.yaml``.

    Raises:
        UserError: whatever a person must mend. Predictions that were made stay.
    """
    config["reference"] = REFERENCE
    output, asked = check_settings(config, "ckpt")
    names = list(dict.fromkeys([REFERENCE, *(config["views"] or [])]))
    n_views = {name: len(tta_views(name)) for name in names}
    device = best_device(config["device"])
    config["num_workers"] = loading_processes(config["num_workers"])
    if len(config["ckpt"]) > 1:
        raise UserError(f"ckpt={','.join(config['ckpt'])}: one run at a time")
    run = open_run(Path(config["ckpt"][0]).expanduser())
    bundle = load_bundle(run.path)
    split, rows = split_rows(run.path, config["split"], bundle.classes)
    _check_figures(config, rows, bundle.classes)
    probabilities, seconds = predict_each(bundle, rows, names, device, config["num_workers"])
    costs = [
        {
            "name": name,
            "views": n_views[name],
            "seconds_per_1000": round(1000 * float(np.median(seconds[name])), 4),
            "ratio": round(float(np.median(seconds[name] / seconds[REFERENCE])), 3),
        }
        for name in names
    ]
    facts = {"run": str(run.path.absolute()), "split": split, "device": device.type, "threads": torch.get_num_threads()}
    with claim(output, "output"):
        systems = _write_systems(run, bundle, rows, probabilities, costs, facts, output)
        try:
            evidence, thresholds = build_evidence(systems, asked, config, "tta")
        except ValueError as error:
            raise UserError(str(error)) from None
        evidence["tta"] = costs
        write_evidence(evidence, thresholds, output)
    for cost in costs:
        log.info("%(name)s: %(views)d views, %(seconds_per_1000).1f s for 1,000 images, %(ratio).1f times none's", cost)


def split_rows(run: Path, wanted: str, classes: Sequence[str]) -> tuple[str, pd.DataFrame]:
    """Return a split's name and rows, as the run's ``split.csv`` has them.

    Args:
        run: its directory.
        wanted: ``val``, ``test``, or ``auto`` for the test, where there is one.
        classes: of the run.

    Raises:
        UserError: there are no such rows, or labels or images are missing.
    """
    place = run / "split.csv"
    if not place.is_file():
        raise UserError(f"{run} has no split.csv, which tells the images of its splits; give a run of skinlab.train")
    table = read_csv(place, ["path", *COLUMNS])
    split = wanted if wanted != "auto" else "test" if (table["split"] == "test").any() else "val"
    rows = table[table["split"] == split].reset_index(drop=True)
    if not len(rows):
        raise UserError(f"split={split}: {place} has no such rows; it has {', '.join(sorted(set(table['split'])))}")
    foreign = rows["image_id"][~rows["label"].isin(classes)]
    if len(foreign):
        raise UserError(f"{place}: {len(foreign)} rows of {split} have no label of the run's classes: {some(foreign)}")
    gone = [printable(path) for path in rows["path"] if not Path(path).is_file()]
    if gone:
        raise UserError(f"{len(gone)} of {len(rows)} images of {place} are missing: {some(gone)}; put them back there")
    return split, rows


def predict_each(
    bundle: Bundle, rows: pd.DataFrame, names: Sequence[str], device: torch.device, num_workers: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Predict rows by every augmentation, each image read once.

    The seconds are the network's, transfers to the device included; reading the images comes on top, and is the same
    for all. They are kept batch by batch, whose median a machine's other business hardly moves; and who comes first
    changes with every batch, so that loading processes disturb all alike.

    Args:
        bundle: of one network.
        rows: with ``path``.
        names: of the augmentations.
        device: to predict on.
        num_workers: loading processes.

    Returns:
        Name → probabilities ``(N, C)``, and name → seconds an image in each batch.

    Raises:
        UserError: an image can't be read.
    """
    loader = batch_loader(
        Readable(rows["path"].tolist(), bundle.image_size, bundle.fit),
        EvalSampler(len(rows)),
        batch_size=BATCH,
        num_workers=min(num_workers, -(-len(rows) // BATCH)),
    )
    screen = Console(stderr=True)
    title = f"predicting {len(rows)} images {len(names)} times"
    batches = track(loader, title, console=screen, transient=True, disable=not screen.is_terminal)
    return timed(bundle.classifier.to(device), _readable(batches, rows), names, device)


def timed(
    network: Network, batches: Iterable[Mapping[str, Any]], names: Sequence[str], device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Predict batches by every augmentation; return name → probabilities, and name → seconds an image in each batch."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn, batch in enumerate(batches):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            if turn == 0:
                predict_probabilities(network, [{"image": batch["image"][:WARM_UP]}], device=device, tta=name)
            started = time.perf_counter()
            found = predict_probabilities(network, [{"image": batch["image"]}], device=device, tta=name)
            seconds[name].append((time.perf_counter() - started) / len(found))
            parts[name].append(found)
    return {name: np.concatenate(each) for name, each in parts.items()}, {
        name: np.array(each) for name, each in seconds.items()
    }


def _readable(batches: Iterable[dict[str, Any]], rows: pd.DataFrame) -> Iterable[dict[str, Any]]:
    for batch in batches:
        for row, reason in batch["bad"].items():
            raise UserError(f"{printable(rows['path'][row])} {reason}; fix it: every image of the split is predicted")
        yield batch


def _check_figures(config: Mapping[str, Any], rows: pd.DataFrame, classes: Sequence[str]) -> None:
    """Refuse what the evaluation would, before hours of predicting.

    Raises:
        UserError: unknown positive classes or figures.
    """
    even = np.full((len(rows), len(classes)), 1 / len(classes))
    known = classification_metrics(*table_arrays(predictions_table(rows, even, classes)))
    unknown = [name for name in config["compare_by"] if name not in known]
    if unknown:
        raise UserError(f"compare_by={unknown[0]}: no such figure; {some(known, 12)} are there")
    positive = config["positive"] or []
    if [name for name in positive if name not in classes] or len(set(positive)) == len(classes):
        raise UserError(f"positive={','.join(positive)}: name some, not all, of the classes {', '.join(classes)}")


def _write_systems(
    run: Run,
    bundle: Bundle,
    rows: pd.DataFrame,
    probabilities: Mapping[str, np.ndarray],
    costs: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    output: Path,
) -> list[System]:
    """Write a predictions table an augmentation, and return each as a system, its figures those of the table."""
    shared = bundle.meta(**facts)
    write_json(output / "predictions" / "meta.json", shared | {"tta": [dict(cost) for cost in costs]})
    systems = []
    for name, each in probabilities.items():
        path = output / "predictions" / f"{name}.csv"
        table = predictions_table(rows, np.round(each, 6), bundle.classes)
        write_json(path.with_suffix(".meta.json"), shared | {"tta": name})
        write_text(path, table.to_csv(index=False, float_format=DECIMALS))
        read = read_predictions(path)
        systems.append(System(name, [read], [source(path, read) | {"split": facts["split"]}], runs=[run]))
    return systems
