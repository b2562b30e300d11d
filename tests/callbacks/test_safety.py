import pickle
import resource
from contextlib import contextmanager

import pytest
import torch

from skinlab.callbacks.safety import AtomicCheckpointIO
from skinlab.errors import UserError
from skinlab.files import replacing, write_json


@contextmanager
def small_disk():
    """Let this process write no file beyond a kilobyte."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [10, 100_000])  # written where the file is closed, and by torch
def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, size):
    path, large = tmp_path / "checkpoints" / "last.ckpt", {"epoch": 2, "weights": torch.zeros(size)}
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    with small_disk():
        with pytest.raises(UserError, match=r"File too large\); the last good one is kept: free some space"):
            AtomicCheckpointIO().save_checkpoint(large, path)
        with pytest.raises(UserError, match=r"File too large\): free some space"):
            AtomicCheckpointIO().save_checkpoint(large, path.with_name("best.ckpt"))
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_that_can_not_be_stored_is_no_full_disk(tmp_path):
    with pytest.raises((AttributeError, pickle.PicklingError)):
        AtomicCheckpointIO().save_checkpoint({"weights": lambda: None}, tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"a": float("nan"), "b": 1.5})
    assert path.read_text() == '{\n  "a": null,\n  "b": 1.5\n}\n'
    with pytest.raises(TypeError), replacing(path) as temporary:
        temporary.write_text(None)
    assert "1.5" in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]
