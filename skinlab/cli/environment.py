"""Recognize a Python that lacks skinlab's packages, before anything of them is imported."""

from __future__ import annotations

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
