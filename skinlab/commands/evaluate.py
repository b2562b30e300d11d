"""Evaluate systems: from predictions to evidence.json, report.html, model_card.md and frozen thresholds."""

from __future__ import annotations

import logging

from skinlab.assessment.evaluation_settings import command_evaluation
from skinlab.assessment.evidence_files import build_evidence, evidence_folder, provenance, write_pages
from skinlab.assessment.systems import find_systems
from skinlab.errors import UserError
from skinlab.files import claim, write_json
from skinlab.report.terminal import print_evidence
from skinlab.settings.evaluate import EvaluateSettings
from skinlab.settings.invocation import Invocation
from skinlab.tables.predictions import TableReader

log = logging.getLogger(__name__)


def evaluate(settings: EvaluateSettings, invocation: Invocation) -> None:
    """Evaluate the systems of ``predictions`` and write their evidence into ``output``.

    Args:
        settings: of the command.
        invocation: its command line is recorded.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    output = evidence_folder(settings.output, invocation.command, overwrite=settings.overwrite)
    evaluation = command_evaluation(settings)
    reader = TableReader(settings.columns, settings.label_map, settings.labels, settings.on_label_conflict)
    systems = find_systems(settings.predictions, split=settings.split, reader=reader)
    made = provenance(invocation.command, settings.dump())
    try:
        evidence, thresholds = build_evidence(
            systems, evaluation, compare_by=settings.compare_by, reference=settings.reference, made=made
        )
    except ValueError as error:
        raise UserError(str(error)) from None

    with claim(output, "output"):
        write_pages(evidence, thresholds, output, settings.saliency)
        if settings.wandb:
            from skinlab.tracking.wandb_evidence import log_evidence  # W&B takes its time to import

            log_evidence(evidence, output)
        write_json(output / "evidence.json", evidence)  # last: the folder counts as complete by it
    print_evidence(evidence)
    log.info("written: %s", output)
