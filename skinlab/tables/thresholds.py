"""Read the thresholds that an evaluation has written."""

from __future__ import annotations

from skinlab.errors import UserError
from skinlab.evaluation.thresholds.frozen import FrozenThreshold, thresholds_from_list
from skinlab.json_files import read_json


def read_thresholds(place: str, setting: str) -> list[FrozenThreshold]:
    """Return the thresholds of an evaluation's ``thresholds.json``, of one system.

    Args:
        place: the file.
        setting: that names it, for messages.

    Raises:
        UserError: the file can't be read, holds none, or those of several systems.
    """
    content = read_json(place, "thresholds.json of an evaluation", setting=setting, remedy="give such a file")
    if isinstance(content, dict):
        if len(content) != 1:
            raise UserError(f"{setting}={place} holds thresholds of {len(content)} systems; keep those of one")
        (content,) = content.values()
    try:
        thresholds = thresholds_from_list(content)
        if wrong := [
            each
            for each in thresholds
            if not each.threshold >= 0 or not (isinstance(each.positive, list) and isinstance(each.rows, dict))
        ]:
            raise ValueError(f"{wrong[0].threshold} of {wrong[0].positive} is no threshold")
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{setting}={place} is no thresholds.json of an evaluation ({reason})") from None
    return thresholds
