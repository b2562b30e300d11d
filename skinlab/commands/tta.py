"""Compare test-time augmentations of a run: predictions by each, their cost, and the paired comparison."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from skinlab.assessment.evaluation_settings import open_evaluation
from skinlab.assessment.evidence_files import build_evidence, complete_evidence, write_pages
from skinlab.assessment.openings import open_test
from skinlab.assessment.sources import source
from skinlab.assessment.sweeps import validation_of_members
from skinlab.assessment.systems import Run, System, combined, open_run
from skinlab.data.datamodule import loading_processes
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.evidence.form import Cost
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import FLOAT_FORMAT, as_written, check_positive, predictions_table, table_arrays
from skinlab.files import claim, write_json, write_text
from skinlab.inference.bundle import Bundle, best_device, load_bundle
from skinlab.inference.compare_views import predict_views
from skinlab.inference.models import model_places
from skinlab.inference.run_tables import read_split
from skinlab.models.prediction import tta_views
from skinlab.report.terminal import print_evidence
from skinlab.settings.command import Invocation
from skinlab.settings.commands.tta import TtaSettings
from skinlab.tables.metadata import read_metadata
from skinlab.tables.names import check_columns
from skinlab.tables.predictions import read_predictions
from skinlab.text import quantity
from skinlab.tracking.wandb_evidence import log_evidence

log = logging.getLogger(__name__)

REFERENCE = "none"


def tta(settings: TtaSettings, invocation: Invocation) -> None:
    """Predict a split of the runs ``ckpt`` by each of ``tta``, and write predictions, costs and evidence.

    Args:
        settings: of the command.
        invocation: its command line is recorded.

    Raises:
        UserError: whatever the user has to correct. Predictions that were made stay.
    """
    output, evaluation, provenance = open_evaluation(settings, invocation)
    names = list(dict.fromkeys([REFERENCE, *(settings.tta or [])]))
    for name in names:
        tta_views(name)  # refuses an unknown one before anything is read
    if settings.split == "test" and len(names) > 2:
        raise UserError(
            f"split=test: the test chooses no augmentation among {', '.join(names[1:])}; choose by split=val and name "
            f"that one, as in 'tta=[{names[1]}]'"
        )
    if settings.metadata is not None:  # before hours of predicting
        place = f"metadata={settings.metadata}"
        columns = read_metadata(Path(settings.metadata).expanduser(), settings.columns, place).attrs["columns"]
        check_columns(settings.columns, {place: columns})
    device, places = best_device(settings.device), model_places(settings.ckpt, only_runs=True)
    runs = [open_run(Path(place).expanduser()) for place in places]
    if len(runs) > 1:
        validation_of_members([run.path for run in runs])  # refuses now what could not be put together
    bundles = [load_bundle(run.path) for run in runs]
    splits = [read_split(run.path, settings.split, bundle.classes) for run, bundle in zip(runs, bundles, strict=True)]
    (split, rows), workers = splits[0], loading_processes(settings.num_workers)
    check_metrics(evaluation.compare_by, evaluation.positive, rows, bundles[0].classes)

    predicted = [
        predict_views(bundle, rows["path"].tolist(), names, device, workers)
        for bundle, (_, rows) in zip(bundles, splits, strict=True)
    ]
    costs = view_costs({name: np.concatenate([seconds[name] for _, seconds in predicted]) for name in names})
    facts = {"split": split, "device": device.type, "threads": torch.get_num_threads()}
    with claim(output, "output"):
        (output / "evidence.json").unlink(missing_ok=True)  # of an earlier evaluation, whose predictions are replaced
        folders = [
            output / "predictions" / (f"{i}_{run.path.name}" if len(runs) > 1 else "") for i, run in enumerate(runs)
        ]
        for run, bundle, (_, rows), (tables, _), folder in zip(runs, bundles, splits, predicted, folders, strict=True):
            write_predictions(bundle, rows, tables, costs, facts | {"run": str(run.path.absolute())}, folder)
        with user_errors():
            systems = [view_system(name, runs, folders, split) for name in names]
            evaluation = replace(evaluation, reference=REFERENCE)
            evidence, thresholds = build_evidence(systems, evaluation, provenance=provenance)
        evidence["tta"] = costs
        open_test(evidence, systems, "tta", output)
        write_pages(evidence, thresholds, output, settings.saliency)
        log_evidence(evidence, output, enabled=settings.wandb)
        complete_evidence(evidence, output)
    for cost in costs:
        took = f"{cost['seconds_per_1000']:.1f} s for 1,000 images, {cost['ratio']:.1f} times {REFERENCE}'s"
        log.info("%s: %s, %s", cost["name"], quantity(cost["views"], "view"), took)
    print_evidence(evidence, output)


def check_metrics(
    compare_by: Sequence[str], positive: Sequence[str] | None, rows: pd.DataFrame, classes: Sequence[str]
) -> None:
    """Refuse what the evaluation would, before hours of predicting.

    Raises:
        UserError: unknown positive classes or metrics.
    """
    even = np.full((len(rows), len(classes)), 1 / len(classes))
    known = classification_metrics(*table_arrays(predictions_table(rows, even, classes)))
    unknown = [name for name in compare_by if name not in known]
    if unknown:
        raise UserError(f"compare_by={unknown[0]}: no such metric; {some(known, 12)} are there")
    if positive:
        with user_errors():
            check_positive(positive, classes)


def view_costs(seconds: Mapping[str, np.ndarray]) -> list[Cost]:
    """Return what each augmentation costs, from name → seconds an image in each batch."""
    return [
        {
            "name": name,
            "views": len(tta_views(name)),
            "seconds_per_1000": round(1000 * float(np.median(each)), 4),
            "ratio": round(float(np.median(each / seconds[REFERENCE])), 3),
        }
        for name, each in seconds.items()
    ]


def write_predictions(
    bundle: Bundle,
    rows: pd.DataFrame,
    probabilities: Mapping[str, np.ndarray],
    costs: Sequence[Cost],
    facts: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write a predictions table of each augmentation, and ``meta.json`` with the costs of all."""
    shared = bundle.meta(**facts)
    write_json(folder / "meta.json", shared | {"tta": [dict(cost) for cost in costs]})
    for name, each in probabilities.items():
        table = predictions_table(rows, as_written(each), bundle.classes)
        write_json(folder / f"{name}.meta.json", shared | {"tta": name})
        write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format=FLOAT_FORMAT))


def view_system(name: str, runs: Sequence[Run], folders: Sequence[Path], split: str) -> System:
    """Return an augmentation of runs as a system, its metrics those of the tables that were written."""
    parts = []
    for run, folder in zip(runs, folders, strict=True):
        table = read_predictions(path := folder / f"{name}.csv")
        parts.append(System(name, [table], [source(path, table) | {"split": split}], runs=[run]))
    return combined(name, parts, split)
