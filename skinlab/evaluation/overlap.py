"""Whether rows are among those that something was chosen or fitted on: by image id, group, file and image content.

Results on such rows are optimistic (Kaufman et al., 2012, "Leakage in data mining"). What is chosen for an evaluation
(thresholds, decision rules, weights of ensembles, input gates) is refused on them; what a model carries (calibrators,
conformal sets, learned weights) can't be taken out of its predictions again, and gets a caution.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

Hashes = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.object_]

KINDS = {
    "image_id": "the same image id",
    "group": "its group",
    "path": "the same file",
    "image_hash": "the same pixels",
}
BYTES = 6  # of a hash: of two sets of 10,000 rows, one pair in three million sets is taken for the same by mistake
HASH_DIGITS = 16  # of an image's hexadecimal hash that count: where only 64 bits of it are known


class Rows(Protocol):
    """What tells rows again, N each: :class:`skinlab.evaluation.predictions.Predictions` or :class:`RowIds`."""

    @property
    def image_id(self) -> Ids:
        """Return unique names."""

    @property
    def group(self) -> Ids:
        """Return lesions or patients; the image's own name where it is by itself."""

    @property
    def path(self) -> Ids:
        """Return files, empty where unknown."""

    @property
    def image_hash(self) -> Ids:
        """Return hexadecimal hashes of the pixels, empty where unknown."""


@dataclass(frozen=True)
class RowIds:
    """Rows without predictions, such as images of no label; see :class:`Rows`."""

    image_id: Ids
    group: Ids
    path: Ids
    image_hash: Ids

    @classmethod
    def of(cls, table: pd.DataFrame) -> RowIds:
        """Return those of a table's rows, of whose columns any may be missing or empty."""
        blank = pd.Series("", index=table.index)
        path = table.get("path", blank)
        image_id = table.get("image_id", path)
        group = table.get("group", blank)
        columns = (image_id, group.where(group != "", image_id), path, table.get("image_hash", blank))
        return cls(*(column.to_numpy(object) for column in columns))

    @classmethod
    def of_images(cls, rows: pd.DataFrame, hashes: npt.NDArray[np.uint64]) -> RowIds:
        """Return what tells images again but their ids, which may name others in another folder.

        Args:
            rows: N images, with their ``path``.
            hashes: ``(N,)`` of their pixels, 0 where unknown.
        """
        known = [f"{each:016x}" if each else "" for each in hashes]
        return cls.of(rows.assign(image_id=rows["path"], image_hash=known))


@dataclass(frozen=True)
class FittedOn:
    """What something was chosen or fitted on.

    Attributes:
        what: it is, such as ``the calibrator temperature``.
        chosen_on: those rows in words, such as ``val, 1603 images``.
        rows: what tells them again, by :func:`row_keys`.
    """

    what: str
    chosen_on: str
    rows: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, what: str, name: str, rows: Rows) -> FittedOn:
        """Return the record of rows that are named in words."""
        return cls(what, f"{name}, {len(rows.image_id)} images", row_keys(rows))


def row_keys(rows: Rows) -> dict[str, str]:
    """Return what tells rows again, as text for JSON: hashes of image ids, groups, files and image contents.

    An unknown group, file or content (empty, or the image by itself as its group) is left out.
    """
    packed = {}
    for kind in KINDS:
        hashes, known = _hashes(rows, kind)
        least = np.unique(hashes[known]).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :BYTES]
        packed[kind] = base64.b64encode(least.tobytes()).decode("ascii")
    return packed


def shared_rows(rows: Rows, keys: Mapping[str, str]) -> tuple[int, str]:
    """Return how many rows are, or share a group with, those of some keys, and which the first is, and how.

    Raises:
        ValueError: the keys are none of :func:`row_keys`.
    """
    shared = {kind: _shared(rows, kind, keys.get(kind, "")) for kind in KINDS}
    either = np.any(list(shared.values()), axis=0)
    if not either.any():
        return 0, ""
    first = int(either.argmax())
    how = next(words for kind, words in KINDS.items() if shared[kind][first])
    group = f" {rows.group[first]}" if how == KINDS["group"] else ""
    return int(either.sum()), f"image {rows.image_id[first]}, {how}{group}"


def refuse_overlap(rows: Rows, keys: Mapping[str, str], what: str, remedy: str) -> None:
    """Refuse rows that are, or share a group with, rows that something was chosen on.

    Args:
        rows: to be evaluated.
        keys: of the rows it was chosen on, by :func:`row_keys`.
        what: was chosen on them, such as ``the threshold for f1 (val, 1603 images)``.
        remedy: what to do.

    Raises:
        ValueError: there are such rows; with their number and the first one.
    """
    n, first = shared_rows(rows, keys)
    if n:
        raise ValueError(
            f"{what}: chosen on {n} of these {len(rows.image_id)} images or on others of their groups (first: "
            f"{first}), which is optimistic: {remedy}"
        )


def overlap_cautions(rows: Rows, fits: Iterable[FittedOn]) -> list[str]:
    """Return a sentence for each set of rows that parts of a model were fitted on and these share."""
    by_rows: dict[tuple[int, str, str], list[str]] = {}
    for fit in fits:
        n, first = shared_rows(rows, fit.rows)
        if n:
            by_rows.setdefault((n, first, fit.chosen_on), []).append(fit.what)
    return [
        f"{n} of these {len(rows.image_id)} images, or others of their groups, chose {_listed(names)} ({chosen_on}; "
        f"first: {first}): the results are not of new images."
        for (n, first, chosen_on), names in by_rows.items()
    ]


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _shared(rows: Rows, kind: str, packed: str) -> npt.NDArray[np.bool_]:
    raw = np.frombuffer(base64.b64decode(packed), np.uint8).reshape(-1, BYTES)
    chosen = np.pad(raw, ((0, 0), (0, 8 - BYTES))).view("<u8").ravel()
    hashes, known = _hashes(rows, kind)
    return np.isin(hashes, chosen) & known


def _hashes(rows: Rows, kind: str) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Return a hash of each row's value, and whether the value is known."""
    values: npt.NDArray[Any] = getattr(rows, kind).astype(str)
    known = values != ("" if kind != "group" else rows.image_id.astype(str))
    if kind == "image_hash":
        values = values.astype(f"U{HASH_DIGITS}")
    return pd.util.hash_array(values.astype(object)) >> np.uint64(64 - 8 * BYTES), np.asarray(known)
