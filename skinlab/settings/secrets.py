"""Mask keys, tokens and passwords in whatever is recorded; they are recognised by name or by form."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
SHORTEST = 8  # characters of an environment variable that is looked for in other text; shorter ones are words
KEY = r"(?:api|access|private|secret|auth|account|ssh|kaggle)_?keys?"
NAME = rf"{KEY}|tokens?|secrets?|passw(?:or)?ds?|passphrase|credentials?"
NAMED = re.compile(rf"(?i)(?:^|[._@])\w*?(?:{NAME})$")
# `api_key=...`, `"token": "..."` within a longer text; what is masked already stays.
ASSIGNED = re.compile(rf"""(?i)((?:{NAME})["']?\s*[=:]\s*["']?)(?!\*)[^\s,;{{}}\[\]"'&]+""")
SHAPES = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        hf_[A-Za-z0-9]{20,} | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{20,} | wandb_v1_\w{20,}
        | sk-[A-Za-z0-9_-]{20,} | xox[abprs]-[\w-]{10,} | AKIA[0-9A-Z]{16} | eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*
    )
    | (?<![\w./+-]) [0-9a-f]{40} (?![\w./+-])  # a W&B key; not part of a path
    | (?<![\w./+-]) (?=[A-Za-z+]*[0-9]) (?=[a-z0-9+]*[A-Z]) (?=[A-Z0-9+]*[a-z]) [A-Za-z0-9+]{40,}={0,2} (?![\w./+-])
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)  # user and password in an address
    """,
    re.VERBOSE,
)


def masked(content: Any, name: str = "") -> Any:
    """Return plain containers or text with everything that looks like a secret replaced by ``***``.

    So are the values of environment variables with the name of a secret, such as ``WANDB_API_KEY``.

    Args:
        content: of a config, a command line or a message.
        name: of the setting whose value it is.

    >>> masked({"wandb": {"api_key": "abc", "name": "run 1", "tags": ["hf_" + 30 * "x"]}})
    {'wandb': {'api_key': '***', 'name': 'run 1', 'tags': ['***']}}
    >>> masked("python -m skinlab.train +logger.wandb.token=abc seed=1")
    'python -m skinlab.train +logger.wandb.token=*** seed=1'
    """
    if isinstance(content, Mapping):
        return {key: masked(value, str(key)) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [masked(each, name) for each in content]
    if content in (None, "") or isinstance(content, bool):
        return content
    if is_secret_name(name):
        return MASK
    if not isinstance(content, str):
        return content
    for value in (value for name, value in os.environ.items() if is_secret_name(name) and len(value) >= SHORTEST):
        content = content.replace(value, MASK)
    return SHAPES.sub(MASK, ASSIGNED.sub(rf"\1{MASK}", content))


def is_secret_name(name: str) -> bool:
    """Return whether a setting's name is that of a secret.

    >>> is_secret_name("logger.wandb.api_key"), is_secret_name("label_budget")
    (True, False)
    """
    return NAMED.search(name) is not None
