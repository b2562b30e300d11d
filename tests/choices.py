"""The choices of config groups, by which tests find every loss, method, strategy and reader by themselves."""

from __future__ import annotations

from typing import Any

import yaml

from skinlab.cli.conf import config_directory


def choices(group: str) -> list[str]:
    """Return the names of the files of a group, ``default`` left out, which the others build on."""
    return sorted(path.stem for path in (config_directory() / group).glob("*.yaml") if path.stem != "default")


def read_choice(group: str, name: str) -> dict[str, Any]:
    """Return the content of a file as it is written."""
    content: dict[str, Any] = yaml.safe_load((config_directory() / group / f"{name}.yaml").read_text())
    return content
