"""Find the config files."""

from __future__ import annotations

from pathlib import Path

PLUGIN_FOLDERS: list[Path] = []  # the folders conf of the packages that plugins= names


def config_directory() -> Path:
    """Return ``conf``: inside the package in an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def choice_file(group: str, choice: str) -> Path:
    """Return the file of a choice: skinlab's own, else a plugin's."""
    files = [folder / group / f"{choice}.yaml" for folder in (config_directory(), *PLUGIN_FOLDERS)]
    return next((path for path in files if path.is_file()), files[0])
