"""Name the words of a command line that Hydra's grammar can't read, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

UNQUOTED = re.compile(r"(?<=[\[{,: ])(?! )[^\[\]{},:\"]*[^\w \[\]{},:\"][^\[\]{},:\"]*(?=[\]},])")
QUOTES = r'"\g<0>"'
CUT_RULE = re.compile(r"\b(sensitivity|specificity|p)$")  # a rule whose >=S the shell has taken
# Quotes as a word processor writes them.
STRAIGHT = {0x201C: '"', 0x201D: '"', 0x201E: '"', 0x2018: "'", 0x2019: "'"}


def unreadable(overrides: Sequence[str]) -> list[str]:
    """Return a line for every override that Hydra's grammar can't read, and for a value that the shell has split."""
    lines, words = [], [text for text in overrides if not text.startswith("-")]
    whole = _rejoined(words)
    if len(whole) < len(words):
        split = {
            text: next(word for word in words if text.startswith(f"{word} ")) for text in whole if text not in words
        }
        return [
            f"{text.removeprefix(first).strip()}: not of the form key=value; leave it out, or put quotes around a "
            f"value with blanks: '{text}'"
            for text, first in split.items()
        ]
    for text in words:
        if not _is_readable(text):
            if CUT_RULE.search(text) and text.count("[") > text.count("]"):
                lines.append(
                    f"{text}: the shell took what follows > as the name of a file; put quotes around the rule, "
                    f"as in '{text}>=0.3]'"
                )
                continue
            straight = text.translate(STRAIGHT)
            quoted = straight if _is_readable(straight) else _quoted(straight)
            general = "key=value, and values with spaces or brackets as 'key=\"value\"'"
            known = "=" in text and _is_readable(quoted)
            lines.append(f"{text}: not an override; write " + (f"'{quoted}'" if known else general))
    return lines


def _rejoined(words: Sequence[str]) -> list[str]:
    """Return a command line with the words without ``=`` as part of the value before them.

    >>> _rejoined(["data=folder", "data.root=My", "patients", "seed=1"])
    ['data=folder', 'data.root=My patients', 'seed=1']
    """
    whole: list[str] = []
    for word in words:
        if whole and "=" in whole[-1] and "=" not in word and not word.startswith(("~", "{", "[")):
            whole[-1] += f" {word}"
        else:
            whole.append(word)
    return whole


def _is_readable(text: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([text])
    except HydraException:
        return False
    return True


def _quoted(text: str) -> str:
    """Return an override with the values in quotes that are no plain words.

    >>> _quoted("columns.prob={malignant: Malignancy score (%)}")
    'columns.prob={malignant: "Malignancy score (%)"}'
    """
    key, _, value = text.partition("=")
    if '"' in value or not value.startswith(("{", "[")):
        return f'{key}="{value}"'
    return f"{key}={UNQUOTED.sub(QUOTES, value)}"
