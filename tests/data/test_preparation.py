import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skinlab.data import preparation
from skinlab.data.audit import fingerprint_cache
from skinlab.data.image_files import file_tail
from skinlab.data.images import read_image
from skinlab.data.manifest import build_manifest
from skinlab.data.preparation import prepare
from skinlab.data.readers.ham10000 import read_ham10000
from skinlab.data.readers.images import read_images
from skinlab.data.splits import assign_folds, select_fold, split_hash
from skinlab.errors import UserError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def prepared(phantom, cache):
    def call(**settings):
        return prepare(
            lambda: read_ham10000(phantom), **{"n_folds": 2, "audit_cache": cache, "num_workers": 0} | settings
        )

    return call


def save(path, seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(path)


def test_default_settings_change_nothing(prepared, phantom):
    plain = prepared()
    expected = select_fold(assign_folds(read_ham10000(phantom), n_folds=2))
    assert plain.split_hash == split_hash(expected)
    assert list(plain.manifest) == list(expected)
    assert "pool" not in plain.audit


def test_a_budget_moves_neither_val_nor_test(prepared):
    plain, budgeted = prepared(), prepared(label_budget=0.3)
    held = budgeted.manifest["split"].isin(["val", "test"])
    pd.testing.assert_frame_equal(budgeted.manifest[held].drop(columns="hidden_label"), plain.manifest[held])
    assert plain.split_hash != budgeted.split_hash
    assert budgeted.classes == plain.classes
    hidden = (budgeted.manifest["hidden_label"] != "").sum()
    assert budgeted.audit["pool"] == {"images": hidden, "held_out_groups": 0, "copies": 0}
    other = prepared(label_budget=0.3, budget_seed=1)
    assert other.split_hash != budgeted.split_hash


def test_labels_of_an_expert_are_added_after_the_budget(prepared, tmp_path):
    budgeted = prepared(label_budget=0.3).manifest
    chosen = budgeted[budgeted["split"] == "pool"].head(3)
    labels = chosen[["image_id"]].assign(label=chosen["hidden_label"])
    labels.to_csv(tmp_path / "labels.csv", index=False)
    labels.tail(1)[["image_id"]].to_csv(tmp_path / "out.csv", index=False)
    after = prepared(label_budget=0.3, labels=tmp_path / "labels.csv", exclude=tmp_path / "out.csv").manifest
    rows = after.set_index("image_id").loc[labels["image_id"]]
    assert rows["split"].tolist() == ["train", "train", ""]
    assert rows["label"].tolist()[:2] == labels["label"].tolist()[:2]


@pytest.mark.parametrize(
    ("setting", "table", "message"),
    [
        ({"label_budget": 1000}, "", "label_budget=1000: the training part has at most 160"),
        ({"label_budget": 2.5}, "", "label_budget=2.5 is no budget"),
        ({"labels": "nowhere.csv"}, "", "nowhere.csv is not there"),
        ("labels", "image_id\nx", "no column label"),
        ("labels", "image_id,label\nx,mel", "1 row without an image of the data: x"),
        ("labels", "image_id,label\nx,mell", "unknown class mell"),
        ("labels", "image_id,label\nx,mel\nx,mel", "names an image twice: x"),
        ({"exclude": "nowhere.csv"}, "", "nowhere.csv is not there"),
        ("exclude", "file\nx", "no column image_id"),
        ("exclude", "image_id\nx", "names no image of the data"),
    ],
)
def test_what_the_manifest_shows_is_refused_before_an_image_is_read(
    prepared, tmp_path, monkeypatch, setting, table, message
):
    monkeypatch.setattr(preparation, "audit", lambda *_, **__: pytest.fail("read the images"))
    (tmp_path / "table.csv").write_text(table)
    with pytest.raises(UserError, match=message) as raised:
        prepared(**setting if isinstance(setting, dict) else {setting: tmp_path / "table.csv"})
    assert "\n" not in str(raised.value)


def test_hashes_are_of_pixels_and_of_files_ends_and_cost_no_second_reading(prepared, monkeypatch):
    prepared()
    monkeypatch.setattr(fingerprint_cache, "fingerprint_all", None)
    known = prepared()
    assert isinstance(known.image_hashes, Mapping)
    assert list(known.image_hashes) == known.manifest["image_id"].tolist()
    assert list(known.image_hashes.values()) == [known.image_hashes[each] for each in known.image_hashes]
    for row in known.manifest.head(3).itertuples():
        pixels = read_image(row.path)
        digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}".encode() + pixels.tobytes())
        assert known.image_hashes[row.image_id] == digest.hexdigest()[:32]
        assert known.file_tails[row.image_id] == file_tail(row.path)
    with pytest.raises(KeyError):
        known.image_hashes["nothing"]


def test_hashes_and_copies_follow_the_rows_of_an_unsorted_reader(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", seed=number % 3)
    frame = build_manifest(pd.DataFrame({"image_id": list("0123"), "split": "pool", "label": ""}))
    frame["path"] = [f"{tmp_path}/{name}.png" for name in frame["image_id"]]
    pool = prepare(lambda: frame[::-1], unlabeled_ok=True, num_workers=0)
    assert pool.manifest["image_id"].tolist() == list("0123")
    assert pool.image_hashes["0"] == pool.image_hashes["3"] != pool.image_hashes["1"]
    assert [(pair["a"], pair["b"]) for pair in pool.copies] == [(0, 3)]
    assert pool.audit["pool"] == {"images": 4, "held_out_groups": 0, "copies": 1}


def test_images_without_labels_serve_a_pretraining_only(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", seed=number)
    pool = prepare(lambda: read_images(tmp_path), unlabeled_ok=True, num_workers=0)
    assert pool.classes == []
    assert (pool.manifest["split"] == "pool").all()
    with pytest.raises(UserError, match=r"0 class\(es\).* needs two or more; without labels use skinlab.pretrain"):
        prepare(lambda: read_images(tmp_path), num_workers=0)
