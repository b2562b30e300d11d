"""Show the licence of a data set and have it accepted."""

from __future__ import annotations

import logging
import sys

from skinlab.errors import UserError
from skinlab.fetching.catalogue import DataSet, Source

log = logging.getLogger(__name__)


def accept_licence(name: str, data: DataSet, source: Source, *, accepted: bool) -> None:
    """Log whose data these are and under which licence; ask for its acceptance on a terminal.

    Args:
        name: of the data set.
        data: its entry in the catalogue.
        source: where it comes from.
        accepted: whether the user has accepted it already.

    Raises:
        UserError: it has not been accepted.
    """
    lines = [data.title, f"version: {source.version}", f"licence: {data.licence} ({data.licence_url})"]
    lines += [f"cite:    {data.citation}", *([f"note:    {source.note}"] if source.note else [])]
    for line in lines:
        log.info("%s", line)
    if accepted or (sys.stdin is not None and sys.stdin.isatty() and _is_yes()):
        return
    raise UserError(
        f"data={name} is under a licence, {data.licence} ({data.licence_url}): read it, then set accept_license=true"
    )


def _is_yes() -> bool:
    """Return whether the user types yes."""
    print("accept the licence? type yes: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("yes", "y")
