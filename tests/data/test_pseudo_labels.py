"""Pseudo-labels are taken from models that know none of the run's validation and test images."""

import json

import pandas as pd
import pytest

from skinlab.data.pseudo_labels import balance_caution, check_pseudo_labels, pseudo_label_facts, read_pseudo_labels
from skinlab.data.training_images import TrainingImages
from skinlab.errors import UserError

HASHES = {name: f"{number:016x}" * 2 for number, name in enumerate(["t1", "t2", "v1", "v2", "e1", "p1"], 2**63)}
MANIFEST = pd.DataFrame(
    {
        "image_id": list(HASHES),
        "group": ["a", "b", "c", "d", "e", "f"],
        "split": ["train", "train", "val", "val", "test", "pool"],
    }
)


@pytest.fixture
def labels(tmp_path):
    """Write pseudo-labels of a model that was trained on some images and chosen by others; return the table."""

    def write(train=(), chosen=(), unknown=()):
        groups = dict(zip(MANIFEST["image_id"], MANIFEST["group"], strict=True))
        known = TrainingImages.of(
            {
                "images": [HASHES[each] for each in train],
                "groups": [groups[each] for each in train],
                "val_images": [HASHES[each] for each in chosen],
                "val_groups": [groups[each] for each in chosen],
                "unknown": unknown,
            }
        )
        path = tmp_path / "p.csv"
        path.write_text("image_id,label,confidence,labelled_by\np1,mel,0.99,abc\n")
        path.with_suffix(".meta.json").write_text(json.dumps(pseudo_label_facts(known, 0.95, 1)))
        return path

    return write


def test_the_fold_s_own_model_is_taken(labels):
    path = labels(train=["t1", "t2"], chosen=["v1", "v2"])
    check_pseudo_labels(path, MANIFEST, HASHES)
    assert read_pseudo_labels(path).val_images.tolist() == sorted(int(HASHES[name][:16], 16) for name in ("v1", "v2"))


def test_labels_of_a_model_of_balanced_batches_are_named():
    labels = pd.Series(["0"] * 4 + ["1"] * 6)
    caution = balance_caution(labels, ["0", "1"], [0.5, 0.5], [0.945, 0.055])
    assert "60.0 % of the labels are 1, 5.5 % of the labelled images are: " in caution
    assert "training batches 50.0 % were" in caution
    assert balance_caution(labels, ["0", "1"], [0.94, 0.06], [0.945, 0.055]) == ""


def test_an_expert_s_labels_need_no_record(tmp_path):
    (tmp_path / "e.csv").write_text("image_id,label\np1,mel\n")
    assert read_pseudo_labels(tmp_path / "e.csv") is None
    check_pseudo_labels(tmp_path / "e.csv", MANIFEST, HASHES)


@pytest.mark.parametrize(
    ("train", "chosen", "message"),
    [
        (["t1", "v1"], ["t2"], r"was trained on 1 val image \(v1\) of this run"),
        (["t1", "v1", "v2", "e1"], [], r"2 val images \(v1, v2\) and 1 test image \(e1\)"),
        (["t1"], ["e1"], r"was trained on 1 test image \(e1\)"),
    ],
)
def test_another_fold_s_model_is_refused(labels, train, chosen, message):
    with pytest.raises(UserError, match=message):
        check_pseudo_labels(labels(train, chosen), MANIFEST, HASHES)


def test_another_image_of_a_validation_lesion_is_refused(labels):
    manifest = MANIFEST.assign(group=["a", "c", "c", "d", "e", "f"])
    manifest.loc[6] = ["v3", "a", "val"]
    hashes = HASHES | {"v3": "f" * 32}
    path = labels(train=["t1", "v1"])
    with pytest.raises(UserError, match="2 val images"):
        check_pseudo_labels(path, manifest, hashes)


def test_without_a_record_or_with_unknown_weights_they_are_refused(labels):
    with pytest.raises(UserError, match=r"whose training images are not all known \(old.ckpt\)"):
        read_pseudo_labels(labels(["t1"], unknown=["old.ckpt"]))
    path = labels(["t1"])
    meta = path.with_suffix(".meta.json")
    content = json.loads(meta.read_text())
    del content["pseudo_labels"]["val_images"]
    meta.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"p.meta.json is damaged"):
        read_pseudo_labels(path)
    meta.unlink()
    with pytest.raises(UserError, match=r"are labels by a model, but p.meta.json, which says .* is not beside it"):
        read_pseudo_labels(path)
