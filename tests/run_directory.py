"""What tests of whole runs share: what a run left, a kill in the midst of one, and a refusal to begin one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from skinlab.errors import UserError


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """All that a run has learned, a strategy's memory included."""
    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    return content["state_dict"] | content.get("semi", {})


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def metrics_of(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "metrics.json").read_text())


def kill_after(epochs: int, command: str, words: Sequence[str], run_dir: Path, *, delay: float = 0.0) -> None:
    """Start a run and kill it some seconds after it has a checkpoint of so many epochs."""
    line = [sys.executable, "-m", f"skinlab.{command}", *words, f"hydra.run.dir={run_dir}"]
    process = subprocess.Popen(line, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    last = run_dir / "checkpoints" / "last.ckpt"
    try:
        for _ in range(12000):
            assert process.poll() is None, "ended before it could be killed"
            if last.is_file() and torch.load(last, weights_only=True)["epoch"] + 1 >= epochs:
                time.sleep(delay)
                return
            time.sleep(0.01)
        raise AssertionError("no checkpoint in two minutes")
    finally:
        process.kill()
        process.wait()


@contextmanager
def refused(told: str, run_dir: Path) -> Iterator[None]:
    """A run that ends with one line and has written nothing."""
    with pytest.raises(UserError, match=told) as error:
        yield
    assert len(str(error.value).splitlines()) == 1
    assert not run_dir.exists()
