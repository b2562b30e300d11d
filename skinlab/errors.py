"""The error of a user's mistake, which ends a command with one line and exit code 2, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A user's mistake; the message is one line with the mistake, the place and the remedy."""


def nearest(name: object, options: Iterable[str]) -> str:
    """Return a hint with the option closest to a mistyped name, or an empty string.

    >>> nearest("fokal", ["ce", "focal"])
    ' (did you mean focal?)'
    >>> nearest("zzz", ["ce", "focal"])
    ''
    """
    match = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.5)
    return f" (did you mean {match[0]}?)" if match else ""


def some(names: Iterable[object], limit: int = 3) -> str:
    """Return the first few of many names and the number of the others.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
