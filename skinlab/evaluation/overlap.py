"""Whether rows are among those that something was chosen or fitted on: by image id, group, file and image content.

Results on such rows are optimistic (Kaufman et al., 2012, "Leakage in data mining"): thresholds, decision rules,
calibrators, conformal sets and weights of ensembles are refused on them.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skinlab.evaluation.predictions import Predictions

Hashes = npt.NDArray[np.uint64]

KINDS = {
    "image_id": "the same image id",
    "group": "its group",
    "path": "the same file",
    "image_hash": "the same pixels",
}
BYTES = 6  # of a hash: of two sets of 10,000 rows, one pair in three million sets is taken for the same by mistake


def row_keys(rows: Predictions) -> dict[str, str]:
    """Return what tells rows again, as text for JSON: hashes of image ids, groups, files and image contents.

    An unknown group, file or content (empty, or the image by itself as its group) is left out.
    """
    packed = {}
    for kind in KINDS:
        hashes, known = _hashes(rows, kind)
        least = np.unique(hashes[known]).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :BYTES]
        packed[kind] = base64.b64encode(least.tobytes()).decode("ascii")
    return packed


def refuse_overlap(rows: Predictions, keys: Mapping[str, str], what: str, remedy: str) -> None:
    """Refuse rows that are, or share a group with, rows that something was chosen on.

    Args:
        rows: to be evaluated.
        keys: of the rows it was chosen on, by :func:`row_keys`.
        what: was chosen on them, such as ``the threshold for f1 (val, 1603 rows)``.
        remedy: what to do.

    Raises:
        ValueError: there are such rows; with their number and the first one.
    """
    shared = {kind: _shared(rows, kind, keys.get(kind, "")) for kind in KINDS}
    either = np.any(list(shared.values()), axis=0)
    if not either.any():
        return
    first = int(either.argmax())
    how = next(words for kind, words in KINDS.items() if shared[kind][first])
    group = f" {rows.group[first]}" if how == KINDS["group"] else ""
    raise ValueError(
        f"{what}: chosen on {either.sum()} of these {len(rows)} images or on others of their groups (first: image "
        f"{rows.image_id[first]}, {how}{group}), which is optimistic: {remedy}"
    )


def _shared(rows: Predictions, kind: str, packed: str) -> npt.NDArray[np.bool_]:
    raw = np.frombuffer(base64.b64decode(packed), np.uint8).reshape(-1, BYTES)
    chosen = np.pad(raw, ((0, 0), (0, 8 - BYTES))).view("<u8").ravel()
    hashes, known = _hashes(rows, kind)
    return np.isin(hashes, chosen) & known


def _hashes(rows: Predictions, kind: str) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """Return a hash of each row's value, and whether the value is known."""
    values: npt.NDArray[Any] = getattr(rows, kind).astype(str)
    known = values != ("" if kind != "group" else rows.image_id.astype(str))
    return pd.util.hash_array(values.astype(object)) >> np.uint64(64 - 8 * BYTES), np.asarray(known)
