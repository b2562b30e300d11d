"""Evaluate systems: from predictions to evidence.json, report.html, model_card.md and frozen thresholds."""

from __future__ import annotations

from dataclasses import replace

from skinlab.assessment.evaluation_settings import open_evaluation, table_reader
from skinlab.assessment.evidence_files import build_evidence, complete_evidence, write_pages
from skinlab.assessment.expectations import add_expectations
from skinlab.assessment.naming import find_reference, named
from skinlab.assessment.openings import open_test
from skinlab.assessment.systems import find_systems
from skinlab.assessment.unpaired import are_unpaired, build_unpaired_evidence
from skinlab.errors import user_errors
from skinlab.evaluation.statistics.expectation import NewSet
from skinlab.files import claim
from skinlab.report.terminal import print_evidence
from skinlab.settings.command import Invocation
from skinlab.settings.commands.evaluate import EvaluateSettings
from skinlab.tracking.wandb_evidence import log_evidence


def evaluate(settings: EvaluateSettings, invocation: Invocation) -> None:
    """Evaluate the systems of ``predictions`` and write their evidence into ``output``.

    Args:
        settings: of the command.
        invocation: its command line is recorded.

    Raises:
        UserError: whatever the user has to correct; nothing has been written then.
    """
    output, evaluation, provenance = open_evaluation(settings, invocation)
    reader = table_reader(settings, common=settings.common)
    systems = find_systems(settings.predictions, split=settings.split, reader=reader)
    systems = named(systems, settings.names, "predictions")
    evaluation = replace(evaluation, reference=find_reference(systems, settings.reference), common=settings.common)
    with user_errors():
        build = build_unpaired_evidence if are_unpaired(systems, settings.unpaired) else build_evidence
        evidence, thresholds = build(systems, evaluation, provenance=provenance)
        if settings.expect:
            new = NewSet(settings.expect.n, settings.expect.prevalence)
            add_expectations(evidence, systems, thresholds, evaluation, new)

    with claim(output, "output"):
        open_test(evidence, systems, "evaluate", output)
        write_pages(evidence, thresholds, output, settings.saliency)
        log_evidence(evidence, output, enabled=settings.wandb)
        complete_evidence(evidence, output)
    print_evidence(evidence, output)
