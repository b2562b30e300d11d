"""Find the file of a choice among the config files, those of plugins included."""

from __future__ import annotations

from pathlib import Path

from skinlab.settings.choices import config_directory as config_directory  # for the other modules of this package

PLUGIN_FOLDERS: list[Path] = []  # the folders conf of the packages that plugins= names


def choice_file(group: str, choice: str) -> Path:
    """Return the file of a choice: skinlab's own, else a plugin's."""
    files = [folder / group / f"{choice}.yaml" for folder in (config_directory(), *PLUGIN_FOLDERS)]
    return next((path for path in files if path.is_file()), files[0])
