"""Rows that something was chosen on are known again by image id, group, file and pixels, whatever else differs."""

import json

import numpy as np
import pytest

from skinlab.evaluation.overlap import refuse_overlap, row_keys
from skinlab.evaluation.predictions import Predictions

N = 400


def rows(prefix: str, **known) -> Predictions:
    ids, blank = np.array([f"{prefix}{i}" for i in range(N)], object), np.full(N, "", object)
    arrays = {"image_id": ids, "group": ids, "source": blank, "fold": np.full(N, -1)} | known
    return Predictions(["a", "b"], np.full((N, 2), 0.5), np.arange(N) % 2, **arrays)


def named(prefix: str, shared: int) -> np.ndarray:
    """Return names of which some are those of ``x``."""
    return np.array([f"{'x' if i >= N - shared else prefix}{i}" for i in range(N)], object)


@pytest.mark.parametrize("shared", [1, 399, 400])
@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("image_id", "the same image id"),
        ("group", "its group x{first}"),
        ("path", "the same file"),
        ("image_hash", "the same pixels"),
    ],
)
def test_shared_rows_are_counted_and_the_first_is_named(kind, how, shared):
    chosen, own = {kind: named("x", N)}, {kind: named("y", shared)}
    if kind == "image_id":
        chosen, own = chosen | {"group": chosen[kind]}, own | {"group": own[kind]}
    keys = json.loads(json.dumps(row_keys(rows("a", **chosen))))
    tested, first = rows("b", **own), N - shared
    message = rf"f1 \(val\): chosen on {shared} of these 400 images .*first: image {tested.image_id[first]}, {how}"
    with pytest.raises(ValueError, match=message.format(first=f"{first}")) as error:
        refuse_overlap(tested, keys, "f1 (val)", "choose it elsewhere")
    assert str(error.value).endswith("which is optimistic: choose it elsewhere")


def test_other_rows_pass():
    keys = row_keys(rows("a", group=named("g", 0), path=named("p", 0), image_hash=named("h", 0)))
    refuse_overlap(rows("b", group=named("i", 0), path=named("q", 0), image_hash=named("k", 0)), keys, "f1", "")
    refuse_overlap(rows("b"), keys, "f1", "")  # unknown groups, files and hashes are not alike
    refuse_overlap(rows("b"), row_keys(rows("c")), "f1", "")
    refuse_overlap(rows("b"), {}, "f1", "")  # of an older file
