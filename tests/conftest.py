"""Fixtures of many tests: a small phantom, drawn once, settings, commands and checkpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.command_server import CommandServer
from tests.hub_server import Hub, running_hub

if TYPE_CHECKING:
    from skinlab.settings.base import Settings

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: sums depend on the number of threads

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background, which every command would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)

MALIGNANT = "{mel: malignant, bcc: malignant, akiec: malignant, nv: benign, bkl: benign, vasc: benign, df: benign}"

Composer = Callable[..., "Settings"]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def shared_tmp(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that all test processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def phantom(shared_tmp: Path) -> Path:
    """160 phantom images of 48 px in HAM10000's layout."""
    from skinlab.data.readers.phantom import read_phantom

    root = shared_tmp / "phantom"
    read_phantom(root, n_images=160, image_size=48, num_workers=1)
    return root


@pytest.fixture(scope="session")
def tiny(phantom: Path, shared_tmp: Path) -> list[str]:
    """Overrides of a training of seconds: two classes, 32 px, random weights."""
    return [
        "data=ham10000",
        f"data.root={phantom}",
        f"data.label_map={MALIGNANT}",
        "data.image_size=32",
        "data.n_folds=2",
        "data.num_workers=0",
        f"data.cache_dir={shared_tmp / 'cache'}",
        "data.batch_size=16",
        "model=resnet18",
        "model.init=random",
        "trainer=cpu",
        "trainer.precision=32-true",
        "trainer.max_epochs=2",
        "callbacks.progress=false",
        "evidence=off",
    ]


def composer(command: str) -> Composer:
    """Compose a command's settings in this process: overrides and a run directory in."""
    from skinlab.cli.config import compose_settings

    def composed(*overrides: str, run_dir: Path | str = "/nowhere") -> Settings:
        return compose_settings(command, overrides, run_dir)

    return composed


@pytest.fixture(scope="session")
def compose_train() -> Composer:
    return composer("train")


@pytest.fixture(scope="session")
def compose_pretrain() -> Composer:
    return composer("pretrain")


@pytest.fixture(scope="session")
def command_server() -> Iterator[CommandServer]:
    """A process that has imported everything and runs commands in forks."""
    server = CommandServer()
    yield server
    server.close()


@pytest.fixture
def run(tmp_path: Path, command_server: CommandServer) -> Command:
    """Run ``python -m skinlab.<command>`` in an empty folder."""

    def start(command: str, *words: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        return command_server.run(command, words, tmp_path, os.environ | environment, timeout)

    return start


@pytest.fixture
def run_ranks(tmp_path: Path) -> Callable[..., None]:
    """Run a script as processes: the rank, an empty folder where they may meet, and their number are its words."""

    def start(script: str, count: int = 2) -> None:
        command, environment = [sys.executable, "-c", script], os.environ | {"OMP_NUM_THREADS": "1"}
        started = [
            subprocess.Popen(
                [*command, str(rank), str(tmp_path), str(count)], env=environment, stderr=subprocess.PIPE, text=True
            )
            for rank in range(count)
        ]
        for process in started:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors

    return start


@pytest.fixture(scope="session")
def save_classifier() -> Callable[..., Path]:
    """Save an untrained classifier of 32 px as a training would: path and class names in, the path out."""
    import pytorch_lightning as pl
    import torch

    from skinlab.models.classifier import Classifier

    def save(path: Path, classes: Sequence[str], network: str = "test_resnet", seed: int = 0) -> Path:
        torch.manual_seed(seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        classifier = Classifier(
            network={"name": network, "dropout": 0.0, "head": "linear"},
            classes=list(classes),
            inputs={"image_size": 32, "fit": "crop", "mean": [0.5] * 3, "std": [0.25] * 3},
            optimizer={"name": "adamw", "lr": 1e-3, "weight_decay": 0.0, "layer_decay": 1.0},
            scheduler={"name": "cosine", "warmup_epochs": 0.0, "min_ratio": 0.0},
            training_prior=[1 / len(classes)] * len(classes),
        )
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
        trainer.strategy.connect(classifier)
        trainer.save_checkpoint(path)
        return path

    return save


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """An empty hub on this machine, with an empty cache, that the hub's client goes to instead of the real one."""
    for name in ("HF_HUB_OFFLINE", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server
