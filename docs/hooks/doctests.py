"""Show the doctests of docstrings as code: an extension of griffe, which reads docstrings for the Python pages."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

DOCTEST = re.compile(r"^([ ]*)>>> (?:.*\n?)(?:\1(?!```)\S.*\n?)*", re.MULTILINE)
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):(`[^`]+`)")


class Doctests(Extension):
    """Put a fence around each doctest and leave out the roles of Sphinx."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of an object."""
        if obj.docstring:
            text = ROLE.sub(r"\1", obj.docstring.value)
            obj.docstring.value = DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", text)
