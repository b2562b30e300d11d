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
from skinlab.assessment.systems import Run, System, open_run
from skinlab.data.datamodule import loading_processes
from skinlab.errors import UserError, some, user_errors
from skinlab.evaluation.evidence.form import Cost
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import FLOAT_FORMAT, as_written, predictions_table, table_arrays
from skinlab.files import claim, write_json, write_text
from skinlab.inference.bundle import Bundle, best_device, load_bundle
from skinlab.inference.compare_views import predict_views
from skinlab.inference.run_tables import read_split
from skinlab.models.prediction import tta_views
from skinlab.report.terminal import print_evidence
from skinlab.settings.command import Invocation
from skinlab.settings.commands.tta import TtaSettings
from skinlab.tables.predictions import read_predictions
from skinlab.tracking.wandb_evidence import log_evidence

log = logging.getLogger(__name__)

REFERENCE = "none"


def tta(settings: TtaSettings, invocation: Invocation) -> None:
    """Predict a split of the run ``ckpt`` by each of ``tta``, and write predictions, costs and evidence.

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
            f"that one, as in tta=[{names[1]}]"
        )
    device, run = best_device(settings.device), open_run(Path(settings.ckpt).expanduser())
    bundle = load_bundle(run.path)
    split, rows = read_split(run.path, settings.split, bundle.classes)
    check_metrics(settings.compare_by, evaluation.positive, rows, bundle.classes)

    workers = loading_processes(settings.num_workers)
    probabilities, seconds = predict_views(bundle, rows["path"].tolist(), names, device, workers)
    costs = view_costs(seconds)
    facts = {"run": str(run.path.absolute()), "split": split, "device": device.type, "threads": torch.get_num_threads()}
    with claim(output, "output"):
        write_predictions(bundle, rows, probabilities, costs, facts, output / "predictions")
        systems = [view_system(name, run, split, output / "predictions") for name in names]
        with user_errors():
            evaluation = replace(evaluation, reference=REFERENCE)
            evidence, thresholds = build_evidence(systems, evaluation, provenance=provenance)
        evidence["tta"] = costs
        open_test(evidence, systems, "tta", output)
        write_pages(evidence, thresholds, output, settings.saliency)
        log_evidence(evidence, output, enabled=settings.wandb)
        complete_evidence(evidence, output)
    print_evidence(evidence)
    log.info("written: %s", output)
    for cost in costs:
        log.info("%(name)s: %(views)d views, %(seconds_per_1000).1f s for 1,000 images, %(ratio).1f times none's", cost)


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
    positive = positive or []
    if [name for name in positive if name not in classes] or len(set(positive)) == len(classes):
        raise UserError(f"positive={','.join(positive)}: name some, not all, of the classes {', '.join(classes)}")


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


def view_system(name: str, run: Run, split: str, folder: Path) -> System:
    """Return an augmentation as a system, its metrics those of the table that was written."""
    path = folder / f"{name}.csv"
    table = read_predictions(path)
    return System(name, [table], [source(path, table) | {"split": split}], runs=[run])
