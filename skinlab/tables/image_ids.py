"""Match image ids that two tables, or a table and a folder, write differently."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{1,4}$")  # .jpg, .jpeg, .jp2, .tiff; not the .2 of `lesion_1.2`
_DRIVE = re.compile(r"^[a-z]:/")
_DOWNSAMPLED = "_downsampled"  # in names of ISIC 2019, in the table or on disk or in both


class Matches(NamedTuple):
    """The known ids for the ids of a table.

    Attributes:
        known: the known id for each id of the table, an empty text if there is none or more than one.
        ambiguous: id of the table → the known ids for it, if there are several.
    """

    known: list[str]
    ambiguous: dict[str, list[str]]


def match_ids(ids: Sequence[str], known: Iterable[str]) -> Matches:
    r"""Find the known id for each id of a table: the same text, or the only file of that name.

    Folder, suffix, case, Windows' separators and ISIC's ``_downsampled`` may differ or be missing. If both have
    folders, those of one must end in those of the other: ``train/0/1.jpg`` is not ``train/1/1.jpg``.

    Args:
        ids: of the table.
        known: paths or ids to choose from.

    >>> match_ids(["ISIC_1", r"C:\isic\train\ISIC_2.JPG", "x"], ["train/ISIC_1.jpg", "train/ISIC_2.jpg"]).known
    ['train/ISIC_1.jpg', 'train/ISIC_2.jpg', '']
    """
    exact = set(known)
    if all(name in exact for name in ids):
        return Matches(list(ids), {})
    by_name: dict[str, list[str]] = {}
    for candidate in sorted(exact):
        by_name.setdefault(_name(candidate), []).append(candidate)
    found, ambiguous = [], {}
    for name in ids:
        candidates = [name] if name in exact else _closest(name, by_name.get(_name(name), []))
        found.append(candidates[0] if len(candidates) == 1 else "")
        if len(candidates) > 1:
            ambiguous[name] = candidates
    return Matches(found, ambiguous)


def _closest(name: str, candidates: Sequence[str]) -> list[str]:
    """Return the candidates in the folder of the name, and of those the ones with its file name, if there are any."""
    same_place = [each for each in candidates if _one_ends_in_other(_parts(name)[:-1], _parts(each)[:-1])]
    if len(same_place) < 2:
        return same_place
    for share in (_parts, _file_name, _stem):
        if chosen := [each for each in same_place if share(each) == share(name)]:
            return chosen
    return same_place


def _one_ends_in_other(a: Sequence[str], b: Sequence[str]) -> bool:
    shared = min(len(a), len(b))
    return a[len(a) - shared :] == b[len(b) - shared :]


def _parts(text: str) -> list[str]:
    """Return the folders and the file name of an id, in lower case."""
    path = unicodedata.normalize("NFC", text).strip().casefold().replace("\\", "/")
    return [part for part in _DRIVE.sub("", path).split("/") if part not in ("", ".")] or [""]


def _file_name(text: str) -> str:
    return _parts(text)[-1]


def _stem(text: str) -> str:
    return _SUFFIX.sub("", _file_name(text))


def _name(text: str) -> str:
    return _stem(text).removesuffix(_DOWNSAMPLED)
