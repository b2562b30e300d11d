"""What a pretrained backbone tells of itself."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from skinlab.cli.config import compose_settings
from skinlab.cli.early_checks import check_early
from skinlab.errors import UserError
from skinlab.runs.backbone_record import find_init, read_record, write_backbone

RECORD = {"method": "simclr", "network": "test_resnet", "images": ["aa", "bb"], "groups": ["g"]}


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
    (tmp_path / "some.ckpt").touch()
    for init in ("auto", "random", "imagenet", str(tmp_path / "some.ckpt")):
        assert find_init(init) == init
    with pytest.raises(UserError, match=r"model\.init=imagnet: no such file \(did you mean imagenet\?\)"):
        find_init("imagnet")
    with pytest.raises(UserError, match=r"has no backbone\.safetensors; give a finished run of skinlab\.pretrain or"):
        find_init(str(tmp_path))
    with pytest.raises(UserError, match=r"a bundle is for predictions; give its run's checkpoints/best\.ckpt"):
        find_init("model.bundle")
    (tmp_path / "backbone.safetensors").touch()
    assert find_init(str(tmp_path)) == str(tmp_path / "backbone.safetensors")


def test_a_training_stands_for_its_best_checkpoint_once_it_is_finished(tmp_path):
    (tmp_path / "config.yaml").write_text("run_id: a\nloss: {}\n")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    with pytest.raises(UserError, match=rf"not finished; to go on: .*hydra.run.dir={tmp_path}, or give checkp"):
        find_init(str(tmp_path))
    (tmp_path / "metrics.json").touch()
    assert find_init(str(tmp_path)) == str(tmp_path / "checkpoints" / "best.ckpt")


@pytest.mark.parametrize("record", ["not json", "[1]", '{"images": 5}'])
def test_a_damaged_record_is_refused(tmp_path, record):
    path = tmp_path / "backbone.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"skinlab": record})
    with pytest.raises(UserError, match=r"backbone\.safetensors has a damaged record"):
        read_record(path)


def test_a_stopped_pretraining_names_its_checkpoint_and_the_command_that_goes_on(tmp_path):
    (tmp_path / "config.yaml").write_text("run_id: a\nssl: {}\n")
    with pytest.raises(UserError, match=r"stopped before its first checkpoint; start it again by the command"):
        find_init(str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    wanted = rf"to go on: python -m skinlab\.pretrain hydra\.run\.dir={tmp_path}, or give {tmp_path}/checkpoints/last"
    with pytest.raises(UserError, match=wanted):
        find_init(str(tmp_path))
    settings = compose_settings("train", [f"model.init={tmp_path}"])  # before torch is imported
    with pytest.raises(UserError, match=wanted):
        check_early("train", settings)
    (tmp_path / "backbone.safetensors").touch()
    check_early("train", settings)
