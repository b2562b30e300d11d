"""Where the config files are."""

from __future__ import annotations

from pathlib import Path


def config_directory() -> Path:
    """Return ``conf``: inside the package in an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"
