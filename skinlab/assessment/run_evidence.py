"""The evidence of a training run, beside its predictions: the same files that ``skinlab.evaluate`` writes."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from skinlab.assessment.evaluation_settings import evaluation_settings
from skinlab.assessment.evidence_files import Thresholds, build_evidence
from skinlab.assessment.openings import open_test
from skinlab.assessment.systems import find_systems
from skinlab.errors import UserError, nearest, user_errors
from skinlab.evaluation.evidence.form import Evidence, Provenance
from skinlab.evaluation.evidence.subgroups import age_bands, values_fault
from skinlab.evaluation.evidence.upgrade import upgrade_evidence
from skinlab.evaluation.predictions import check_positive
from skinlab.json_files import NUMBER, Keys, read_json
from skinlab.settings.command import EvidenceSettings
from skinlab.settings.commands.train import TrainSettings
from skinlab.tables.metadata import read_metadata

log = logging.getLogger(__name__)


def check_wanted(
    settings: TrainSettings, classes: Sequence[str] | None = None, rows: pd.DataFrame | None = None
) -> None:
    """Refuse positive classes, rules and subgroups that make no sense, before the first epoch.

    Args:
        settings: of the training.
        classes: of the data, once they are known.
        rows: of the manifest, the validation images, likewise.

    Raises:
        UserError: a rule is none, a positive class or a subgroup is none of the data or has one value, the table of
            metadata can't be read, or two settings contradict each other.
    """
    chosen = settings.data.positive
    if chosen and classes is not None and len(classes) != 2:
        raise UserError(
            f"data.positive={','.join(chosen)} is for data of two classes, this has {len(classes)}: leave it out, or "
            "name the positive classes of the report: 'evidence.positive=[A,B]'"
        )
    if settings.evidence is None:
        return
    with evidence_messages():
        evaluation_settings(settings.evidence)
    positive = settings.evidence.positive or []
    if chosen and positive and chosen != positive:
        raise UserError(
            f"data.positive={','.join(chosen)} and evidence.positive={','.join(positive)} differ; leave one out"
        )
    if classes is not None and positive:
        with user_errors("evidence."):
            check_positive(positive, classes)
    _check_subgroups(settings.evidence, rows)


def _check_subgroups(evidence: EvidenceSettings, rows: pd.DataFrame | None) -> None:
    metadata, values = evidence.metadata, dict[str, list[str]]()
    tables = [] if rows is None else [rows]
    if metadata is not None:
        tables.append(read_metadata(Path(metadata).expanduser(), {}, f"evidence.metadata={metadata}"))
    for table in tables:
        values |= {str(name): table[name].fillna("").astype(str).tolist() for name in table.columns}
    for name in [] if rows is None else evidence.subgroups or []:
        if name not in values:
            raise UserError(
                f"evidence.subgroups={name}: the data has no such column{nearest(name, list(values))}; give a table "
                "with it: evidence.metadata=FILE.csv"
            )
        if fault := values_fault(age_bands(values[name], evidence.age_bands) if name == "age" else values[name]):
            raise UserError(f"evidence.subgroups={name}: {fault}")


def in_training(text: str) -> str:
    """Return a message of an evaluation with its settings as a training has them, in the group ``evidence``.

    A command that the message names keeps its own.

    >>> in_training("positive=wart: name some, not all")
    'evidence.positive=wart: name some, not all'
    """
    names = "|".join(EvidenceSettings.model_fields)
    own, command, rest = text.partition("python -m ")
    return re.sub(rf"(?<![\w.=\[])(?:{names})=", r"evidence.\g<0>", own) + command + rest


@contextmanager
def evidence_messages() -> Iterator[None]:
    """Raise the mistakes of an evaluation within a training with the names that its settings have there."""
    try:
        yield
    except UserError as error:
        raise UserError(in_training(str(error))) from None


def evaluate_run(
    run_dir: Path, settings: EvidenceSettings, provenance: Provenance, *, test: bool = False
) -> tuple[Evidence, Thresholds] | None:
    """Return the evidence of a finished run, and its thresholds; None and a warning where its images allow none.

    It is that of the validation part. With ``test`` it is that of the test part, unless that can't be judged, such as
    one of a single class.

    Args:
        run_dir: with ``config.yaml``, ``metrics.json`` and ``predictions/``.
        settings: of the evidence.
        provenance: see :func:`skinlab.assessment.evidence_files.describe_provenance`.
        test: whether the test is opened.
    """
    reasons: dict[str, str] = {}
    with evidence_messages():
        evaluation = evaluation_settings(settings)
    for split in ("test", "val") if test else ("val",):
        try:
            systems = find_systems([str(run_dir)], split=split)
            evidence, thresholds = build_evidence(systems, evaluation, provenance=provenance)
            break
        except ValueError as error:
            reasons[split] = in_training(str(error))
    else:
        log.warning("no evidence.json: %s", "; ".join(dict.fromkeys(reasons.values())))
        return None
    evidence["cautions"] = [in_training(text) for text in evidence["cautions"]]
    if reasons:
        caution = f"This is of the validation images: the test images can't be judged ({reasons['test']})."
        log.warning(caution)
        evidence["cautions"].insert(0, caution)
    open_test(evidence, systems, "train", run_dir, once=True)
    return evidence, thresholds


def read_evidence(run_dir: Path) -> Evidence | None:
    """Return the evidence of a run directory, None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = run_dir / "evidence.json"
    if not path.exists():
        return None
    keys: Keys = {"systems": list, "settings.level": NUMBER, "cautions": list}
    remedy = "delete it to have it made again"
    evidence: Evidence = read_json(path, "evidence of a run", keys, remedy=remedy, upgrade=upgrade_evidence)
    return evidence
