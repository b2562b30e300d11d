import errno
from pathlib import Path

import pytest
import torch

from skinlab.callbacks.safety import AtomicCheckpointIO
from skinlab.errors import UserError
from skinlab.files import replacing, write_json


def full_disk(*args: object, **kwargs: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(UserError, match=r"No space left on device.*last good one is kept"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    with pytest.raises(UserError, match=r"No space left on device\): free some space"):
        AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path.with_name("best.ckpt"))


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"a": float("nan"), "b": 1.5})
    assert path.read_text() == '{\n  "a": null,\n  "b": 1.5\n}\n'
    with pytest.raises(TypeError), replacing(path) as temporary:
        temporary.write_text(None)
    assert "1.5" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
