"""Find a data set's images and tables on disk."""

from __future__ import annotations

import os
from pathlib import Path

from skinlab.data.images import IMAGE_SUFFIXES
from skinlab.errors import UserError


def absolute(root: str | Path) -> str:
    """Return the absolute root, with `~` expanded: shells leave it alone in `data.root=~/ham10000`."""
    return str(Path(root).expanduser().absolute())


def list_images(root: str | Path) -> list[str]:
    """Return the relative posix path of every image below a folder, sorted.

    Links to folders are followed, except back to a folder above them. Hidden files and what macOS leaves in
    archives are passed over.

    Raises:
        UserError: the folder is missing, can't be read, holds no image, or one whose name is not UTF-8.
    """
    if not Path(root).is_dir():
        raise UserError(f"data.root={root} is not a folder: give the folder that holds the images")
    images: list[str] = []
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    while waiting:
        prefix, above = waiting.pop()
        folder = Path(root, prefix)
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if here not in above and _wanted(entry.name)]
        except OSError as error:
            raise UserError(f"{folder} can't be read ({error.strerror}): mend its permissions or remove it") from error
        for entry in entries:
            if entry.is_dir():
                waiting.append((f"{prefix}{entry.name}/", (*above, here)))
            elif entry.name[entry.name.rfind(".") :].lower() in IMAGE_SUFFIXES:
                images.append(prefix + entry.name)
    if not images:
        raise UserError(f"data.root={root} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}): give another folder")
    try:
        "".join(images).encode()
    except UnicodeEncodeError as error:
        broken = next(name for name in images if not name.isprintable())
        raise UserError(f"{root} holds a file whose name is not UTF-8, {broken!r}: rename it") from error
    return sorted(images)


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def stem(relative: str) -> str:
    """Return a file's name without folder and suffix.

    >>> stem("part_1/ISIC_0024306.jpg")
    'ISIC_0024306'
    """
    return relative.rpartition("/")[2].rpartition(".")[0]


def locate_table(root: str | Path, table: str | Path) -> Path:
    """Return a table's path, which may be given as it stands or relative to the data's root."""
    return Path(table) if Path(table).is_file() else Path(root) / table
