"""Find a data set's images and tables on disk, the masks among them, and images of formats that can't be read."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, overload

from skinlab.data.image_formats import OTHER_IMAGE_SUFFIXES, image_format
from skinlab.data.images import IMAGE_SUFFIXES
from skinlab.errors import UserError, no_data_folder, some
from skinlab.text import is_missing, name_key, quantity

POOL = "unlabeled"
_UNCLEAR = frozenset(
    {"unk", "pool", "unclassified", "uncategorized", "unsorted", "unspecified", "unsure", "tbd", "todo"}
)

# Endings of the masks' names of ISIC (2016 to 2018) and HAM10000; photographs have others.
_ISIC_MASK = re.compile(r"[_-](?:segmentation|superpixels|attribute_[a-z_]+)\Z", re.IGNORECASE)
# Endings and folders of other data sets' masks, if there is a photograph of that name.
_MASK = re.compile(r"[ _-]?(?:masks?|seg|segmentations?|gt|ground[ _-]?truth)\Z", re.IGNORECASE)
_MASK_FOLDER = re.compile(r"(?:\A|[/ _-])(?:masks?|segmentations?|ground[ _-]?truths?)(?:[/ _-]|\Z)", re.IGNORECASE)
_MASK_WORDS = ("mask", "seg", "gt", "truth", "superpixels", "attribute_")  # every mask's path contains one


class Listing(NamedTuple):
    """The image files below a folder, as sorted relative posix paths.

    Attributes:
        images: photographs of a format that can be read.
        masks: masks by name → their photograph's file name without suffix.
        other_formats: files of image formats that can't be read, such as HEIC, DICOM and camera RAW.
    """

    images: list[str]
    masks: dict[str, str]
    other_formats: list[str]

    def left_out(self) -> dict[str, tuple[str, ...]]:
        """Return the files without a row of the manifest, for its `attrs`, which the audit reports."""
        return {"masks": tuple(self.masks), "other_formats": tuple(self.other_formats)}


def left_out_warnings(masks: Iterable[str], other_formats: Iterable[str]) -> list[str]:
    """Return one line for each kind of files that are left out: their number, some names, and the remedy.

    >>> left_out_warnings([], ["mel/1.HEIC", "mel/2.heic", "nv/3.dcm"])[0]
    "3 files left out, of formats that can't be read (2 .heic, 1 .dcm): mel/1.HEIC, mel/2.heic, nv/3.dcm; convert \
them to JPEG or PNG"
    """
    masks, others, lines = list(masks), list(other_formats), []
    if masks:
        lines.append(f"{quantity(len(masks), 'mask', 'is')} left out: {some(masks)}; rename those that are photographs")
    if others:
        suffixes = Counter(_suffix(name) if "." in name else "without suffix" for name in others)
        kinds = some((f"{count} {name}" for name, count in suffixes.most_common()), 9)
        lines.append(
            f"{quantity(len(others), 'file')} left out, of formats that can't be read ({kinds}): {some(others)}; "
            "convert them to JPEG or PNG"
        )
    return lines


def absolute(root: str | Path) -> str:
    """Return the absolute root, with `~` expanded, which shells do not do in `data.root=~/ham10000`."""
    return str(Path(root).expanduser().absolute())


def check_root(root: str | Path, name: str) -> None:
    """Refuse the missing folder of a data set that can be fetched.

    Args:
        root: of the data set.
        name: of the data set.

    Raises:
        UserError: there is no such folder; the message has the command that gets the data.
    """
    if not Path(root).is_dir():
        raise UserError(no_data_folder(root, name))


def folder_below(root: str | Path, names: Iterable[str]) -> str:
    """Return a remedy that names the folder below the root that holds a data set, "" where none does.

    Args:
        root: of the data set, as set.
        names: files or folders, relative to the data set's own root, of which one is enough.
    """
    found = sorted(
        Path(*place.parts[: -len(Path(name).parts)])
        for name in names
        for depth in ("*", "*/*")
        for place in Path(root).glob(f"{depth}/{name}")
    )
    return f"set data.root={found[0]}, which has it" if found else ""


@overload
def find_file(root: str | Path, name: str) -> Path: ...
@overload
def find_file(root: str | Path, name: str, *, missing_ok: bool) -> Path | None: ...
def find_file(root: str | Path, name: str, *, missing_ok: bool = False) -> Path | None:
    """Return the file of a name below a folder, of several the one with the shortest path.

    Raises:
        UserError: there is none, unless that may be.
    """
    found = sorted(Path(root).rglob(name), key=lambda path: (len(path.parts), path))
    if not found and not missing_ok:
        raise UserError(f"data.root={root} holds no {name}: put it there, beside the images")
    return found[0] if found else None


def list_files(root: str | Path) -> Listing:
    """List the image files below a folder.

    Links to folders are followed, except to a folder above them. Hidden files and `__MACOSX` of archives are skipped.

    Raises:
        UserError: the folder is missing, can't be read, holds no photograph, or one whose name is not UTF-8.
    """
    if not Path(root).is_dir():
        raise UserError(f"data.root={root} is not a folder: set data.root=DIR, the folder that holds the images")
    images: list[str] = []
    others: list[str] = []
    for path, name in _files(Path(root)):
        ending = _suffix(name)
        if ending in IMAGE_SUFFIXES:
            images.append(path)
        elif ending in OTHER_IMAGE_SUFFIXES or (not ending[1:].isalpha() and image_format(Path(root, path))):
            others.append(path)
    try:
        "".join((*images, *others)).encode()
    except UnicodeEncodeError as error:
        broken = next(name for name in (*images, *others) if not name.isprintable())
        raise UserError(f"{root} holds a file whose name is not UTF-8, {broken!r}: rename it") from error
    images.sort()
    masks = find_masks(images)
    if masks:
        images = [path for path in images if path not in masks]
    if not images:
        others_too = "".join(f"; {line}" for line in left_out_warnings(masks, sorted(others)))
        readable = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"data.root={root} holds no image ({readable}): give another folder{others_too}")
    return Listing(images, masks, sorted(others))


def _files(root: Path) -> Iterable[tuple[str, str]]:
    """Yield the relative posix path and the name of every visible file below a folder."""
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    while waiting:
        prefix, above = waiting.pop()
        folder = root / prefix
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            with os.scandir(folder) as scan:
                entries = [entry for entry in scan if here not in above and _wanted(entry.name)]
        except OSError as error:
            raise UserError(f"{folder} can't be read ({error.strerror}): fix its permissions or remove it") from error
        for entry in entries:
            if entry.is_dir():
                waiting.append((f"{prefix}{entry.name}/", (*above, here)))
            else:
                yield prefix + entry.name, entry.name


def _wanted(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].rstrip().lower()


def find_masks(paths: Iterable[str]) -> dict[str, str]:
    """Return the masks among image files, by their names: path → their photograph's file name without suffix.

    >>> find_masks(["a.jpg", "a_mask.png", "b_mask.png", "masks/a.png", "c_segmentation.png"])
    {'a_mask.png': 'a', 'masks/a.png': 'a', 'c_segmentation.png': 'c'}
    """
    paths = list(paths)
    text = "\n".join(paths).lower()
    if not any(word in text for word in _MASK_WORDS):  # a million regular expressions take seconds
        return {}
    folders = [path.rpartition("/")[0] for path in paths]
    of_masks = {folder for folder in set(folders) if _MASK_FOLDER.search(folder)}
    photographs = {stem(path) for path, folder in zip(paths, folders, strict=True) if folder not in of_masks}
    found = {}
    for path, folder in zip(paths, folders, strict=True):
        name = stem(path)
        ending = _ISIC_MASK.search(name) or _MASK.search(name)
        photograph = name[: ending.start()] if ending else name
        beside = photograph in photographs and (ending or folder in of_masks)
        if beside or (ending and ending.re is _ISIC_MASK):
            found[path] = photograph
    return found


def check_class_folder(path: str) -> None:
    """Refuse a folder that may be a class or the pool.

    Raises:
        UserError: its name is a word for a missing value, or nearly `unlabeled`.
    """
    name = name_key(path.rpartition("/")[2])
    if is_missing(name) or name in _UNCLEAR or difflib.get_close_matches(name, [POOL], cutoff=0.8):
        raise UserError(
            f"{path} may be a class or the pool: rename it to {POOL} if its images have no labels, or to a class's name"
        )


def stem(relative: str) -> str:
    """Return a file's name without folder and suffix.

    >>> stem("part_1/ISIC_0024306.jpg")
    'ISIC_0024306'
    """
    return relative.rpartition("/")[2].rpartition(".")[0]


def locate_table(root: str | Path, table: str | Path) -> Path:
    """Return a table's path, given as it is or relative to the data's root."""
    place = Path(str(table)).expanduser()
    return place if place.is_file() else Path(root) / place
