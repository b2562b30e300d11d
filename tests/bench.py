"""Speed as ratios, each taken in one run: ``make bench``. Prints figure, limit and verdict; nothing here is a test.

The training ratios alternate short blocks of both sides and take the median ratio, so that a drift of the machine's
speed falls on both. Run it on a machine with nothing else to do.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCKS, STEPS, WARMUP, BATCH = 5, 12, 3, 32


def report(what: str, value: float, limit: float, *, least: bool, unit: str = "") -> None:
    """Print one line: what was measured, the value, its limit and whether it is kept."""
    kept = value >= limit if least else value <= limit
    print(
        f"{'ok  ' if kept else 'MISS'}  {what:<78} {value:8.2f}{unit} ({'>=' if least else '<='} {limit:g}{unit})",
        flush=True,
    )


def seconds(work: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command_seconds(*words: str) -> float:
    """Return the shortest of three runs of a Python command."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return min(seconds(lambda: subprocess.run([sys.executable, *words], check=False, **quiet)) for _ in range(3))


def bench_start() -> None:
    """Compare what needs no torch with importing it."""
    torch = command_seconds("-c", "import torch")
    for words in (["--help"], ["--cfg", "job"], ["loss=fokal"]):
        ratio = command_seconds("-m", "skinlab.train", *words) / torch
        report(f"skinlab.train {' '.join(words)} / import torch", ratio, 0.6, least=False)


def bench_million(folder: Path) -> None:
    """Read, check and split a table of a million rows."""
    import numpy as np
    import pandas as pd

    from skinlab.data.readers.table import read_table
    from skinlab.data.splits import assign_folds, check_groups, select_fold, split_hash

    n, rng = 1_000_000, np.random.default_rng(0)
    label = rng.choice(
        ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"], n, p=[0.67, 0.11, 0.11, 0.05, 0.03, 0.02, 0.01]
    )
    frame = pd.DataFrame({"image_id": np.arange(n), "label": label, "group": rng.integers(700_000, size=n)})
    frame["path"] = "images/" + frame["image_id"].astype(str) + ".jpg"
    frame.to_csv(folder / "million.csv", index=False)

    def work() -> None:
        rows = select_fold(assign_folds(read_table(folder, folder / "million.csv"), n_folds=5), 0)
        check_groups(rows)
        split_hash(rows)

    report("a million rows read, checked and split", seconds(work), 20, least=False, unit=" s")


def bench_phantom(folder: Path) -> Path:
    """Draw phantom images at 128 px; return a set of 256 px for the training ratios."""
    from skinlab.data.readers.phantom import read_phantom

    took = seconds(lambda: read_phantom(folder / "p128", n_images=1000, image_size=128, seed=1))
    report("phantom images a second at 128 px", 1000 / took, 150, least=True)
    read_phantom(folder / "p256", n_images=1000, image_size=256)
    return folder / "p256"


def bench_audit(folder: Path) -> None:
    """Audit HAM10000, the first time and once more."""
    root = os.environ.get("SKINLAB_DATA_ROOT")
    if not root or not (Path(root) / "ham10000").is_dir():
        print("skip  the audit of HAM10000: SKINLAB_DATA_ROOT/ham10000 is not there")
        return
    from skinlab.data.audit import audit
    from skinlab.data.readers.ham10000 import read_ham10000

    manifest = read_ham10000(Path(root) / "ham10000")
    for words, limit in (("first", 60.0), ("remembered", 2.0)):
        took = seconds(lambda: audit(manifest, n_folds=5, cache_dir=folder, num_workers=2))
        report(f"audit of {len(manifest)} images, {words}", took, limit, least=False, unit=" s")


def bare_loop(name: str, size: int, precision: str) -> Callable[[], float]:
    """Return images a second of a plain loop on float tensors in memory."""
    import timm
    import torch

    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=7).to(memory_format=torch.channels_last).train()
    images = torch.randn(4 * BATCH, 3, size, size).to(memory_format=torch.channels_last)
    target = torch.randint(0, 7, (4 * BATCH,))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def block() -> float:
        for step in range(WARMUP + STEPS):
            if step == WARMUP:
                start = time.perf_counter()
            rows = slice(step % 4 * BATCH, (step % 4 + 1) * BATCH)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = torch.nn.functional.cross_entropy(network(images[rows]).float(), target[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return STEPS * BATCH / (time.perf_counter() - start)

    return block


def plain_recipe(name: str, size: int, root: Path) -> Callable[[], float]:
    """Return images a second of the plain recipe: float32, NCHW, PIL and torchvision in the main process."""
    import timm
    import torch
    from PIL import Image
    from torchvision import transforms as tv

    paths = sorted(root.rglob("*.jpg"))
    heavy = tv.Compose(
        [
            tv.Resize(size),
            tv.CenterCrop(size),
            tv.RandomHorizontalFlip(),
            tv.RandomVerticalFlip(),
            tv.RandomAffine(45, translate=(0.1, 0.1), scale=(0.75, 1.25), shear=10),
            tv.ColorJitter(0.2, 0.2, 0.2, 0.02),
            tv.ToTensor(),
            tv.RandomErasing(0.5),
            tv.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=7).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def block() -> float:
        for step in range(WARMUP + STEPS):
            if step == WARMUP:
                start = time.perf_counter()
            files = [paths[(step * BATCH + i) % len(paths)] for i in range(BATCH)]
            images = torch.stack([heavy(Image.open(file).convert("RGB")) for file in files])
            loss = torch.nn.functional.cross_entropy(network(images), torch.randint(0, 7, (BATCH,)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return STEPS * BATCH / (time.perf_counter() - start)

    return block


def skinlab_training(overrides: list[str], folder: Path) -> tuple[Callable[[], float], str]:
    """Return images a second of what ``skinlab.train`` runs, and the precision it chose."""
    import pytorch_lightning as pl
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from skinlab.callbacks.assembly import build_callbacks
    from skinlab.runtime.config import config_directory, register_resolvers
    from skinlab.runtime.parts import build_classifier, build_datamodule, trainer_arguments

    register_resolvers()
    words = [
        *overrides,
        f"run_dir={folder}",
        f"data.cache_dir={folder}",
        f"data.batch_size={BATCH}",
        "model.init=random",
    ]
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("train", [*words, "callbacks.progress=false"]), resolve=True)
    datamodule = build_datamodule(config)
    classifier, _ = build_classifier(config, datamodule)
    settings = trainer_arguments(config, classifier.network)

    class Stopwatch(pl.Callback):
        start = stop = 0.0
        steps = 0

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == WARMUP:
                self.start = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.stop, self.steps = time.perf_counter(), batch_idx + 1 - WARMUP

    def block() -> float:
        watch = Stopwatch()
        short = settings | {"max_epochs": 1, "limit_train_batches": WARMUP + STEPS, "limit_val_batches": 0}
        quiet = {"enable_model_summary": False, "enable_progress_bar": False, "enable_checkpointing": False}
        kept = [
            c
            for c in build_callbacks(config, folder, datamodule.prepared.classes)
            if "Checkpoint" not in type(c).__name__
        ]
        kept = [c for c in kept if "LearningRateMonitor" not in type(c).__name__]
        trainer = pl.Trainer(logger=False, callbacks=[watch, *kept], use_distributed_sampler=False, **quiet, **short)
        trainer.fit(classifier, datamodule=datamodule)
        return watch.steps * BATCH / (watch.stop - watch.start)  # what was run, not what was asked for

    return block, str(settings["precision"])


def median_ratio(ours: Callable[[], float], theirs: Callable[[], float]) -> float:
    """Return the median over blocks of ours / theirs, run in turn."""
    pairs = [(ours(), theirs()) for _ in range(BLOCKS)]
    print("      images/s, ours against theirs: " + ", ".join(f"{a:.0f}/{b:.0f}" for a, b in pairs))
    return statistics.median(a / b for a, b in pairs)


def bench_training(root: Path, folder: Path) -> None:
    """Compare training through the project with bare loops."""
    data = ["data=ham10000", f"data.root={root}", "augment=heavy", "trainer=cpu"]
    lite = [*data, "model=effnet_lite0", "data.image_size=128"]
    ours, precision = skinlab_training(lite, folder)
    bare = bare_loop("tf_efficientnet_lite0", 128, precision)
    report(
        f"effnet_lite0, 128 px, from JPEG / bare loop in memory ({precision})",
        median_ratio(ours, bare),
        0.9,
        least=True,
    )
    plain = plain_recipe("tf_efficientnet_lite0", 128, root)
    report("effnet_lite0, 128 px, from JPEG / plain recipe", median_ratio(ours, plain), 1.5, least=True)
    ours, precision = skinlab_training([*data, "model=resnet18", "data.image_size=64", "data.cache=ram"], folder)
    bare = bare_loop("resnet18", 64, precision)
    report(
        f"resnet18, 64 px, warm cache / bare loop in memory ({precision})", median_ratio(ours, bare), 0.9, least=True
    )


def main() -> None:
    """Run all of it."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench_start()
        bench_million(folder)
        bench_audit(folder)
        bench_training(bench_phantom(folder), folder)


if __name__ == "__main__":
    main()
