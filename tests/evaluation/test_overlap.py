"""Rows that something was chosen on are known again by image id, group, file and pixels, whatever else differs."""

import json

import numpy as np
import pandas as pd
import pytest

from skinlab.evaluation.overlap import FittedOn, RowIds, overlap_cautions, refuse_overlap, row_keys
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


def test_parts_of_a_model_fitted_on_shared_rows_get_one_sentence():
    shared, others = rows("b", path=named("p", N)), rows("c")
    fits = [FittedOn.of(what, "val", shared) for what in ("the calibrator vector", "the conformal sets")]
    fits += [FittedOn.of("the input gate", "train", others)]
    (sentence,) = overlap_cautions(rows("a", path=named("q", 7)), [*fits])[:1]
    assert "7 of these 400 images" in sentence
    assert (
        "chose the calibrator vector and the conformal sets (val, 400 images; first: image a393, the same file)"
        in sentence
    )
    assert overlap_cautions(rows("d"), fits) == []


def test_images_without_predictions_are_told_by_what_their_table_has():
    table = pd.DataFrame({"path": ["x/1.jpg", "x/2.jpg"], "group": ["", "g"], "image_hash": ["ab" * 16, ""]})
    ids = RowIds.of(table)
    assert ids.image_id.tolist() == ["x/1.jpg", "x/2.jpg"]
    assert ids.group.tolist() == ["x/1.jpg", "g"]
    first_half = RowIds.of(pd.DataFrame({"path": ["y/1.jpg"], "image_hash": ["ab" * 8]}))
    assert overlap_cautions(first_half, [FittedOn.of("the calibrator", "val", ids)])  # 64 bits of a hash are enough
