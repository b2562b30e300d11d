"""What test-time augmentations are worth to a run: predictions by each, their cost, and the paired comparison."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from skinlab.assessment.evidence_files import build_evidence, write_evidence
from skinlab.assessment.settings import check_settings
from skinlab.assessment.systems import Run, System, open_run, source
from skinlab.data.datamodule import loading_processes
from skinlab.data.images import printable
from skinlab.errors import UserError, some
from skinlab.evaluation.evidence_form import Cost
from skinlab.evaluation.metrics import classification_metrics
from skinlab.evaluation.predictions import COLUMNS, DECIMALS, predictions_table, table_arrays
from skinlab.files import claim, write_json, write_text
from skinlab.inference.bundle import Bundle, best_device, load_bundle
from skinlab.inference.compare_views import predict_each
from skinlab.models.prediction import tta_views
from skinlab.tables.csv_files import read_csv
from skinlab.tables.predictions import read_predictions

log = logging.getLogger(__name__)

REFERENCE = "none"


def compare_views(config: dict[str, Any]) -> None:
    """Predict a split of the run ``ckpt`` by each of ``tta``, and write predictions, costs and evidence.

    Args:
        config: the resolved config of ``conf/tta.yaml``.

    Raises:
        UserError: whatever a person must mend. Predictions that were made stay.
    """
    config["reference"] = REFERENCE
    output, asked = check_settings(config, "ckpt")
    names = list(dict.fromkeys([REFERENCE, *(config["tta"] or [])]))
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
    costs: list[Cost] = [
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
