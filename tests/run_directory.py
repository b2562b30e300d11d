"""Run directories in tests: written by hand, read after a training, killed while training, or refused."""

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

import pandas as pd
import pytest
import torch
import yaml

from skinlab.errors import UserError

CONFIG = {"seed": 0, "data": {"name": "phantom", "fold": 0, "n_folds": 5}}
METRICS = {"init_used": "random"}


def write_run(
    run_dir: Path,
    *,
    config: dict[str, Any] | None = CONFIG,
    metrics: dict[str, Any] | None = METRICS,
    meta: dict[str, Any] | None = None,
    split: pd.DataFrame | None = None,
    **predictions: pd.DataFrame,
) -> Path:
    """Write the files of a finished run but its checkpoints, and return its folder; what is None is left out.

    Args:
        run_dir: made if it is not there.
        config: of ``config.yaml``.
        metrics: of ``metrics.json``.
        meta: of ``predictions/meta.json``.
        split: of ``split.csv``.
        **predictions: table of ``predictions/<name>.csv`` by name.
    """
    (run_dir / "predictions").mkdir(parents=True, exist_ok=True)
    if config is not None:
        (run_dir / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    for name, content in {"metrics.json": metrics, "predictions/meta.json": meta}.items():
        if content is not None:
            (run_dir / name).write_text(json.dumps(content))
    tables = {f"predictions/{name}.csv": table for name, table in predictions.items()} | {"split.csv": split}
    for name, table in tables.items():
        if table is not None:
            table.to_csv(run_dir / name, index=False)
    return run_dir


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    """Return the tensors that a run has trained, and those of its semi-supervised strategy."""
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
def refused(message: str, run_dir: Path) -> Iterator[None]:
    """Expect a run to end with one line that matches, before anything is written."""
    with pytest.raises(UserError, match=message) as error:
        yield
    assert len(str(error.value).splitlines()) == 1
    assert not run_dir.exists()
