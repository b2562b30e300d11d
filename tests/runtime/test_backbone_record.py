"""What a pretrained backbone tells of itself, and who may start from it."""

from types import SimpleNamespace

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from skinlab.errors import UserError
from skinlab.runtime.backbone_record import check_seen, find_init, read_record, write_backbone

RECORD = {"method": "simclr", "network": "test_resnet", "images": ["aa", "bb"], "groups": ["g"]}


def prepared(**split_of: str) -> SimpleNamespace:
    """Images whose hash is their name twice: a → aa."""
    manifest = pd.DataFrame({"image_id": list(split_of), "split": list(split_of.values())})
    return SimpleNamespace(manifest=manifest, image_hashes={name: name * 2 for name in split_of})


def test_the_record_travels_with_the_weights(tmp_path):
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    write_backbone(tmp_path, state, RECORD)
    moved = (tmp_path / "backbone.safetensors").rename(tmp_path / "elsewhere.safetensors")
    assert read_record(moved) == RECORD
    loaded = load_file(moved)
    assert all(torch.equal(value, loaded[name]) for name, value in state.items())
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_files_without_a_record_have_none(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    for name in ("plain.safetensors", "broken.safetensors", "missing.safetensors", "best.ckpt", "imagenet"):
        assert read_record(tmp_path / name) is None


def test_a_run_directory_stands_for_its_backbone(tmp_path):
    for init in ("auto", "random", "imagenet", "some.ckpt"):
        assert find_init(init) == init
    with pytest.raises(UserError, match=r"has no backbone\.safetensors; give a finished run"):
        find_init(str(tmp_path))
    (tmp_path / "backbone.safetensors").touch()
    assert find_init(str(tmp_path)) == str(tmp_path / "backbone.safetensors")


def test_images_that_were_seen_are_counted_and_refused(caplog):
    clean = prepared(a="train", b="pool", c="val", d="test")
    assert check_seen("x", RECORD, clean, allow_seen=False) == {"init_saw_val": 0, "init_saw_test": 0}
    assert not caplog.text
    leaky = prepared(a="val", b="test", c="val", d="test", e="train")
    with pytest.raises(
        UserError, match=r"model.init=x: .*\(simclr\) saw 1 val images \(a\) and 1 test images \(b\)"
    ) as told:
        check_seen("x", RECORD, leaky, allow_seen=False)
    assert len(str(told.value).splitlines()) == 1
    assert check_seen("x", RECORD, leaky, allow_seen=True) == {"init_saw_val": 1, "init_saw_test": 1}
    assert "saw 1 val images" in caplog.text
