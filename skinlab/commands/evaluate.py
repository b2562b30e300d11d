"""An evaluation: predictions in; evidence.json, report.html, model_card.md and frozen thresholds out."""

from __future__ import annotations

import logging
from typing import Any

from skinlab.assessment.evidence_files import build_evidence, write_evidence
from skinlab.assessment.settings import check_settings
from skinlab.assessment.systems import find_systems
from skinlab.errors import UserError
from skinlab.tables.predictions import table_reader

log = logging.getLogger(__name__)


def evaluate(config: dict[str, Any]) -> None:
    """Evaluate the systems of ``predictions`` and write what was found into ``output``.

    Args:
        config: the resolved config of ``conf/evaluate.yaml``.

    Raises:
        UserError: whatever a person must mend; nothing has been written then.
    """
    output, asked = check_settings(config, "predictions")
    systems = find_systems(config["predictions"], split=config["split"], reader=table_reader(config))
    try:
        evidence, thresholds = build_evidence(systems, asked, config)
    except ValueError as error:
        raise UserError(str(error)) from None
    write_evidence(evidence, thresholds, output)
