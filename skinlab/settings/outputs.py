"""Check where a command writes: refuse, before anything is read, what can't be written or would be lost."""

from __future__ import annotations

import os
from pathlib import Path

from skinlab.errors import UserError


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
