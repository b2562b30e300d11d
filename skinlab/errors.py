"""The error of a user's mistake, which ends a command with one line and exit code 2, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """A user's mistake; the message is one line with the mistake, the place and the remedy."""


@contextmanager
def user_errors(prefix: str = "") -> Iterator[None]:
    """Raise any ``ValueError`` of the block, or of a decorated function, as a :class:`UserError`.

    >>> with user_errors("power: "):
    ...     float("high")
    Traceback (most recent call last):
    skinlab.errors.UserError: power: could not convert string to float: 'high'
    """
    try:
        yield
    except ValueError as error:
        raise UserError(f"{prefix}{error}") from None


def nearest(name: object, options: Iterable[str]) -> str:
    """Return a hint with the option closest to a mistyped name, or an empty string.

    >>> nearest("fokal", ["ce", "focal"])
    ' (did you mean focal?)'
    >>> nearest("SimCLR", ["byol", "simclr"]), nearest("zzz", ["ce", "focal"])
    (' (did you mean simclr?)', '')
    """
    by_lower = {option.lower(): option for option in options}
    match = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean {by_lower[match[0]]}?)" if match else ""


def no_data_folder(root: object, name: object) -> str:
    """Return the mistake of a ``data.root`` that is no folder, with the command that gets the data set.

    >>> no_data_folder("DIR", "dsm2025").partition("there: ")[2]
    'skinlab fetch data=dsm2025 competition=NAME'
    """
    competition = " competition=NAME" if name == "dsm2025" else ""
    return (
        f"data.root={root} is not a folder: set data.root to the folder of {name} (or SKINLAB_DATA_ROOT to the one "
        f"above it), or get the data there: skinlab fetch data={name}{competition}"
    )


def some(names: Iterable[object], limit: int = 3) -> str:
    """Return the first few of many names and the number of the others.

    >>> some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    listed = [str(name) for name in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f" and {more} more" if more > 0 else "")
