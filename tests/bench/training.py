"""Speed of training and pretraining, in turn with other loops."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.data import ham10000_or_phantom, phantom_256
from tests.bench.loops import BATCH, BLOCKS, STEPS, WARMUP, Peer
from tests.bench.measure import report

Peers = Callable[
    [str], dict[tuple[str, float], list[str]]
]  # from a precision: title and limit of each `Peer`, its words

SCDIAG = (("tf_efficientnet_lite0", "128"), ("test_resnet", "224"))  # network and pixels


def composed(command: str, overrides: list[str], folder: Path) -> Any:
    """Return the settings of a run in a folder."""

    from skinlab.cli.config import compose_settings

    words = [*overrides, f"data.cache_dir={folder}", f"data.batch_size={BATCH}"]
    words += ["model.init=random", "callbacks.progress=false", f"trainer.max_epochs={BLOCKS}"]
    return compose_settings(command, words, folder)


def bench_training(overrides: list[str], folder: Path, peers: Peers) -> None:
    """Train as ``skinlab.train`` does, in turn with other loops."""
    from skinlab.callbacks.assembly import build_callbacks
    from skinlab.runs.parts import build_classifier, build_datamodule, trainer_arguments

    settings = composed("train", overrides, folder)
    datamodule = build_datamodule(settings)
    classifier, _ = build_classifier(settings, datamodule)
    arguments = trainer_arguments(settings.trainer, classifier.network)
    callbacks = build_callbacks(settings, folder, datamodule.prepared.classes)
    compare(settings, classifier, callbacks, arguments, peers, datamodule=datamodule)


def bench_pretraining(overrides: list[str], folder: Path, peers: Peers, *, in_memory: bool) -> None:
    """Pretrain as ``skinlab.pretrain`` does, from JPEGs or on views in memory, in turn with other loops."""
    import torch

    from skinlab.callbacks.assembly import build_pretraining_callbacks
    from skinlab.runs.parts import build_datamodule, build_pretrainer, trainer_arguments
    from skinlab.runs.pretraining_data import PretrainingData

    settings = composed("pretrain", overrides, folder)
    datamodule = build_datamodule(settings)
    pretrainer, _ = build_pretrainer(settings, datamodule)
    arguments = trainer_arguments(settings.trainer, pretrainer.backbone)
    callbacks = build_pretraining_callbacks(settings, folder, None)
    if not in_memory:
        data = PretrainingData(datamodule, settings)
        compare(settings, pretrainer, callbacks, arguments, peers, datamodule=data)
        return
    shape = (BATCH, 3, settings.data.image_size, settings.data.image_size)

    def batch() -> dict[str, Any]:
        views = [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2)]
        return {
            "views": [view.contiguous(memory_format=torch.channels_last) for view in views],
            "row": torch.arange(BATCH),
        }

    batches: Any = [batch() for _ in range(4)] * (WARMUP + STEPS)
    views = torch.utils.data.DataLoader(batches, batch_size=None)
    compare(settings, pretrainer, callbacks, arguments, peers, train_dataloaders=views)


def compare(
    settings: Any, module: Any, callbacks: list[Any], arguments: dict[str, Any], peers: Peers, **data: Any
) -> None:
    """Train by Lightning as a command would, in turn with other loops, and report the median ratios of their blocks.

    Args:
        settings: of the run.
        module: that learns.
        callbacks: of the run.
        arguments: of its trainer.
        peers: what it is compared with.
        data: argument of ``Trainer.fit``.
    """
    import pytorch_lightning as pl

    from skinlab.tracking.loggers import open_loggers

    folder = Path(settings.run_dir)
    rivals = {key: Peer(*each) for key, each in peers(str(arguments["precision"])).items()}
    rates: dict[Any, list[float]] = {key: [] for key in [None, *rivals]}

    class Turns(pl.Callback):
        """An epoch is a block; the others' blocks follow it."""

        start = 0.0

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == WARMUP - 1:
                self.start = time.perf_counter()
            if batch_idx == WARMUP + STEPS - 1:
                rates[None].append(STEPS * BATCH / (time.perf_counter() - self.start))

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            for key, rival in rivals.items():
                rates[key].append(rival.block())

    trainer = pl.Trainer(
        logger=open_loggers(settings.logger, folder, settings.dump(), resumed=None),
        callbacks=[Turns(), *callbacks],
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        **arguments | {"limit_train_batches": WARMUP + STEPS, "limit_val_batches": 1},
    )
    trainer.fit(module, **data)
    for (title, limit), rival in rivals.items():
        rival.close()
        pairs = list(zip(rates[None], rates[title, limit], strict=True))
        print("      images/s, ours against theirs: " + ", ".join(f"{a:.0f}/{b:.0f}" for a, b in pairs))
        report(title, [a / b for a, b in pairs], limit, least=True)


def bench_steps(folder: Path) -> None:
    """Compare training and pretraining through the project with bare loops."""
    root = phantom_256(folder)
    data = ["data=ham10000", f"data.root={root}", "trainer=cpu"]
    bench_training(
        [*data, "augment=heavy", "model=effnet_lite0", "data.image_size=128"],
        folder / "lite",
        lambda precision: {
            (f"effnet_lite0, 128 px, from JPEG / bare loop in memory ({precision})", 0.9): [
                *("bare", "tf_efficientnet_lite0", "128", precision)
            ],
            ("effnet_lite0, 128 px, from JPEG / plain recipe", 1.5): [
                *("plain", "tf_efficientnet_lite0", "128", str(root))
            ],
        },
    )
    bench_training(
        [*data, "augment=heavy", "model=resnet18", "data.image_size=64", "data.cache=ram"],
        folder / "resnet",
        lambda precision: {
            (f"resnet18, 64 px, warm cache / bare loop in memory ({precision})", 0.9): [
                *("bare", "resnet18", "64", precision)
            ]
        },
    )
    bench_pretraining(
        [*data, "ssl=simclr", "model=resnet18", "data.image_size=64"],
        folder / "simclr",
        lambda precision: {
            (f"SimCLR, resnet18, 64 px, views in memory / bare loop ({precision})", 0.9): [
                *("simclr", "resnet18", "64", precision)
            ]
        },
        in_memory=True,
    )
    bench_pretraining(
        [*data, "ssl=simclr", "model=resnet18", "data.image_size=128"],
        folder / "lightly",
        lambda _: {
            ("SimCLR, resnet18, 128 px, from JPEG / lightly's benchmark module and transform", 1): [
                *("lightly", "resnet18", "128", str(root))
            ]
        },
        in_memory=False,
    )


def bench_scdiag(folder: Path) -> None:
    """Compare training with the transforms and the loop of scdiag, which is slow: about half an hour.

    The first network takes most of the time on a CPU; the second is timm's smallest, so that reading and augmentation
    count as they do on a GPU.
    """
    if find_spec("scdiag") is None:
        print("skip  scdiag is not installed: pip install scdiag segmentation_models_pytorch")
        return
    root = ham10000_or_phantom(folder)
    data = ["data=ham10000", f"data.root={root}", "trainer=cpu", "augment=heavy"]
    for name, size in SCDIAG:
        title = f"{name}, {size} px, from {root.name}'s JPEGs / scdiag's transforms and loop"
        words = [*data, f"model.name={name}", f"data.image_size={size}"]
        peer = {(title, 3.0): ["scdiag", name, size, str(root)]}
        bench_training(words, folder / name, lambda _, peer=peer: peer)
