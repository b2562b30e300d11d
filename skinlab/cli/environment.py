"""Recognize a Python that lacks skinlab's packages, before anything of them is imported."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from importlib.util import find_spec


def check_environment() -> None:
    """Exit with 2 and one line where another Python than that of skinlab's environment runs it."""
    if find_spec("hydra") is None:
        remedy = "run `source .venv/bin/activate` first (`make setup` builds .venv), or write .venv/bin/python"
        print(f"error: {sys.executable} does not have skinlab's packages: {remedy}", file=sys.stderr)
        raise SystemExit(2)


def version_line() -> str:
    """Return the name and version of the program."""
    check_environment()
    return f"skinlab {version('skinlab')}"


def print_text(text: str) -> None:
    """Print a text on standard output; exit with 2 and one line where it can't be written.

    A pipe that nobody reads any more, as in ``skinlab | head``, is no mistake.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it is written at the end
        if not isinstance(error, BrokenPipeError):
            print(f"error: the output can't be written: {error.strerror}; write it elsewhere", file=sys.stderr)
            raise SystemExit(2) from None
