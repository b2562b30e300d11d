"""The evidence of a training run, beside its predictions: the same files that ``skinlab.evaluate`` writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from skinlab.assessment.evidence_files import build_evidence, write_files
from skinlab.assessment.settings import check_asked
from skinlab.assessment.systems import find_systems
from skinlab.errors import UserError
from skinlab.evaluation.evidence_form import Evidence
from skinlab.json_files import NUMBER, Keys, read_json
from skinlab.tracking.fault_tolerant_loggers import FaultTolerantWandbLogger

log = logging.getLogger(__name__)


def check_wanted(config: Mapping[str, Any], classes: Sequence[str] | None = None) -> None:
    """Refuse settings of the evidence that make no sense, before the first epoch.

    Args:
        config: of the training; its ``evidence`` is empty where none is wanted.
        classes: of the data, once they are known.

    Raises:
        UserError: a setting is out of range, or a positive class is none.
    """
    chosen, settings = config["data"]["positive"], config["evidence"]
    if chosen and classes is not None and len(classes) != 2:
        raise UserError(
            f"data.positive={','.join(chosen)} is for data of two classes, this has {len(classes)}: leave it out, or "
            "name the positive classes of the report: evidence.positive=[A,B]"
        )
    if not settings:
        return
    check_asked(settings, "evidence.")
    positive = settings["positive"] or []
    if chosen and positive and chosen != positive:
        raise UserError(
            f"data.positive={','.join(chosen)} and evidence.positive={','.join(positive)} differ; leave one out"
        )
    if classes is not None and not set(positive) < set(classes):
        raise UserError(
            f"evidence.positive={','.join(positive)}: name some, not all, of the classes {', '.join(classes)}"
        )


def write_run_evidence(run_dir: Path, config: Mapping[str, Any]) -> Evidence | None:
    """Write the evidence of a finished run into its directory.

    It is that of the test part; of the validation part where there is no test part or it can't be judged, such as one
    of a single class. What allows no evidence at all costs a warning.

    Args:
        run_dir: with ``config.yaml``, ``metrics.json`` and ``predictions/``.
        config: of the training.

    Returns:
        The evidence, None where there is none.
    """
    if not (settings := config["evidence"]):
        return None
    reasons: dict[str, str] = {}
    for split in [name for name in ("test", "val") if (run_dir / "predictions" / f"{name}.csv").is_file()]:
        try:
            evidence, thresholds = _evidence_of(run_dir, settings, split)
            break
        except ValueError as error:
            reasons[split] = str(error)
    else:
        log.warning("no evidence.json: %s", "; ".join(dict.fromkeys(reasons.values())))
        return None
    if reasons:
        caution = f"This is of the validation images: the test images can't be judged ({reasons['test']})."
        log.warning(caution)
        evidence["cautions"].insert(0, caution)
    evidence["made"]["config"] = dict(config)
    write_files(evidence, thresholds, run_dir, settings["saliency"])
    return evidence


def _evidence_of(run_dir: Path, settings: Mapping[str, Any], split: str) -> tuple[Evidence, dict[str, Any]]:
    systems = find_systems([str(run_dir)], split=split)
    alone: dict[str, Any] = {"reference": None, "compare_by": []}
    return build_evidence(systems, check_asked(settings), {**settings, **alone}, "train")


def log_run_evidence(loggers: Sequence[Logger], run_dir: Path, evidence: Mapping[str, Any] | None, step: int) -> None:
    """Send intervals and report to W&B, if it is among the loggers."""
    for logger in loggers:
        if evidence is not None and isinstance(logger, FaultTolerantWandbLogger):
            from skinlab.tracking.wandb_evidence import headline, page

            (system,) = evidence["systems"]
            logger.log_summary(headline(system, system["sources"][0]["split"]))
            logger.log_metrics(page(run_dir), step)


def read_evidence(run_dir: Path) -> Evidence | None:
    """Return the evidence of a run directory, None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = run_dir / "evidence.json"
    if not path.exists():
        return None
    keys: Keys = {"systems": list, "asked.level": NUMBER, "cautions": list}
    evidence: Evidence = read_json(path, "evidence of a run", keys, remedy="delete it to have it made again")
    return evidence
