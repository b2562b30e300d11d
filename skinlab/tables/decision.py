"""Read the rule for the called class that an evaluation has written."""

from __future__ import annotations

from pathlib import Path

from skinlab.errors import UserError
from skinlab.evaluation.thresholds.decision import Decision
from skinlab.json_files import read_json


def read_decision(place: str | Path, setting: str) -> Decision:
    """Return the rule of an evaluation's ``decision.json``, of one system.

    Args:
        place: the file.
        setting: that names it, for messages.

    Raises:
        UserError: the file can't be read, holds none, or those of several systems.
    """
    content = read_json(place, "decision.json of an evaluation", {}, setting=setting, remedy="give such a file")
    if len(content) != 1:
        raise UserError(f"{setting}={place} holds rules of {len(content)} systems; keep that of one")
    try:
        return Decision.from_dict(*content.values())
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{setting}={place} is no decision.json of an evaluation ({reason})") from None
