"""Check where a command writes: refuse, before anything is read, what can't be written or would be lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

from skinlab.errors import UserError

BUNDLE_SUFFIXES = {"bundle": ".bundle", "safetensors": ".safetensors", "onnx": ".onnx"}
RANKING = "mine.csv"  # written last: a folder without it is not complete


def output_folder(place: str) -> Path:
    """Return the folder that a command writes.

    Raises:
        UserError: it is a file.
    """
    output = Path(place).expanduser().absolute()
    if output.exists() and not output.is_dir():
        raise UserError(f"output={place} is a file; name a folder")
    return output


def output_file(place: str, suffix: str, hint: str = "") -> Path:
    """Return the file that a command writes.

    Args:
        place: value of ``output=``.
        suffix: that its name must have.
        hint: what else to set where the suffix is another one.

    Raises:
        UserError: it has another suffix, or its folder is missing or can't be written.
    """
    output = Path(place).expanduser().absolute()
    if output.suffix.lower() != suffix or output.is_dir():
        raise UserError(f"output={place}: the name of a {suffix} file is expected, such as output=FILE{suffix}{hint}")
    if not output.parent.is_dir():
        raise UserError(f"output={place}: there is no folder {output.parent}; make it or choose another")
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"output={place}: {output.parent} can't be written; choose another folder")
    return output


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse to replace a file unless ``overwrite=true``.

    Raises:
        UserError: it exists.
    """
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists; choose another output= or set overwrite=true")


def prediction_file(place: str, *, overwrite: bool) -> Path:
    """Return the CSV that ``predict`` writes.

    Raises:
        UserError: it can't be written, or it or its ``.meta.json`` is there already.
    """
    output = output_file(place, ".csv")
    for path in (output, meta_path(output)):
        if not _is_half(path):
            refuse_existing(path, overwrite=overwrite)
    return output


def meta_path(output: Path) -> Path:
    """Return where the facts about a predictions file lie: beside it."""
    return output.with_suffix(".meta.json")


def _is_half(path: Path) -> bool:
    """Return whether a file is the ``.meta.json`` of a prediction that was ended before it had its table."""
    try:
        return path.suffix == ".json" and "checkpoint_sha256" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def pictures_folder(place: str | None, *, overwrite: bool) -> Path | None:
    """Return the folder of the Grad-CAM pictures of ``explain=``, if any are wanted.

    Raises:
        UserError: it is a file, or holds something already.
    """
    if place is None:
        return None
    folder = Path(place).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"explain={place} is a file; name a folder for the pictures")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(f"explain={place} is not empty; choose another folder or set overwrite=true")
    return folder


def bundle_file(place: str, format_: str, *, overwrite: bool) -> Path:
    """Return the file that ``bundle`` writes.

    Raises:
        UserError: its suffix is that of another format, or it can't be written or is there already.
    """
    chosen = Path(place).suffix
    others = [name for name, suffix in BUNDLE_SUFFIXES.items() if suffix == chosen and name != format_]
    output = output_file(place, BUNDLE_SUFFIXES[format_], f", or set format={others[0]}" if others else "")
    refuse_existing(output, overwrite=overwrite)
    return output


def ranking_folder(place: str, *, overwrite: bool) -> Path:
    """Return the folder that ``mine`` writes.

    Raises:
        UserError: it is a file, or holds a list already.
    """
    output = output_folder(place)
    refuse_existing(output / RANKING, overwrite=overwrite)
    return output


def contact_sheet_file(place: str | None) -> Path | None:
    """Return where the contact sheet of ``audit`` goes, if anywhere.

    Raises:
        UserError: it is no PNG or JPEG file, or its folder is missing.
    """
    if place is None:
        return None
    path = Path(place).expanduser().absolute()
    if path.suffix.lower() not in (".png", ".jpg"):
        raise UserError(f"contact_sheet={place}: a PNG or JPEG file is expected, such as contact_sheet=sheet.png")
    if not path.parent.is_dir():
        raise UserError(f"contact_sheet={place}: there is no folder {path.parent}; make it or choose another")
    return path
