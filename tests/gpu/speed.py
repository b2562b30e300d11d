"""Images a second of training and pretraining beside bare loops on resident tensors: ``python -m tests.gpu.speed OUT``.

Each side runs its blocks in turn with the other, in one process on one device; the first block warms up and the median
ratio of neighbouring blocks counts. The bare loops are never compiled. The share of time in which the device is busy is
that of the union of its kernels in a few profiled steps, which the profiler makes a little longer, so that the true
share is a little larger.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.profiler import ProfilerActivity, profile

from tests.bench.loops import bare_loop, bare_simclr

Step = Callable[[int], Any]
BLOCKS, WARMUP, PROFILED = 4, 8, 8


def wait() -> None:
    """Wait until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def busy_share(intervals: Iterable[tuple[float, float]], span: float) -> float:
    """Return the share of a span of time that intervals cover, overlaps counted once.

    >>> busy_share([(0, 2), (1, 3), (5, 6)], span=8)
    0.5
    """
    covered, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        covered += max(stop - max(start, end), 0)
        end = max(end, stop)
    return covered / span


class Busy:
    """Profile the device from `start` to `stop`, which returns the share of the time in which it was busy."""

    def start(self) -> None:
        """Begin."""
        cuda = torch.cuda.is_available()
        self.kind = torch.autograd.DeviceType.CUDA if cuda else torch.autograd.DeviceType.CPU
        wait()
        self.profiler = profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU])
        self.profiler.__enter__()
        self.began = time.perf_counter()

    def stop(self) -> float:
        """End."""
        wait()
        span = time.perf_counter() - self.began
        self.profiler.__exit__(None, None, None)
        events = [each.time_range for each in self.profiler.events() if each.device_type == self.kind]
        return busy_share(((each.start, each.end) for each in events), span * 1e6)


class Turns(pl.Callback):
    """Take the time of our steps, and after each epoch, which is a block, that of the same number of bare steps.

    Args:
        bare: step of the bare loop.
        batch: images a step.
        steps: of a block without the steps that warm up.
    """

    def __init__(self, bare: Step, batch: int, steps: int) -> None:
        self.bare, self.batch, self.steps = bare, batch, steps
        self.ours: list[float] = []
        self.theirs: list[float] = []
        self.busy = {"ours": 0.0, "bare": 0.0}
        self.profiled = Busy()

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Refuse a data set of fewer batches than a block has."""
        needed = WARMUP + self.steps + PROFILED
        assert trainer.num_training_batches == needed, f"{needed} batches of {self.batch} images are needed"

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the time at the block's begin and end, and profile the last steps of the last epoch."""
        if batch_idx == WARMUP - 1:
            wait()
            self.began = time.perf_counter()
        if batch_idx == WARMUP + self.steps - 1:
            wait()
            self.ours.append(self.batch * self.steps / (time.perf_counter() - self.began))
            if trainer.current_epoch == BLOCKS - 1:
                self.profiled.start()
        if batch_idx == WARMUP + self.steps + PROFILED - 1 and trainer.current_epoch == BLOCKS - 1:
            self.busy["ours"] = self.profiled.stop()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Run the bare loop's block, with cuDNN's fastest algorithms, deterministic or not."""
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False):
            self._bare_block(profiled=trainer.current_epoch == BLOCKS - 1)
        torch.use_deterministic_algorithms(deterministic, warn_only=True)

    def _bare_block(self, *, profiled: bool) -> None:
        for number in range(WARMUP):
            self.bare(number)
        wait()
        began = time.perf_counter()
        for number in range(self.steps):
            self.bare(number)
        wait()
        self.theirs.append(self.batch * self.steps / (time.perf_counter() - began))
        if profiled:
            self.profiled.start()
            for number in range(PROFILED):
                self.bare(number)
            self.busy["bare"] = self.profiled.stop()

    def results(self) -> dict[str, float]:
        """Return the medians of the blocks, without the first, and the spread of their ratios."""
        ours, theirs = self.ours[1:], self.theirs[1:]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        return {
            "images_per_second": statistics.median(ours),
            "bare_images_per_second": statistics.median(theirs),
            "ratio": statistics.median(ratios),
            "ratio_least": min(ratios),
            "ratio_most": max(ratios),
            "busy_share": self.busy["ours"],
            "bare_busy_share": self.busy["bare"],
        }


def measure(command: str, overrides: list[str], folder: Path, *, batch: int, steps: int) -> dict[str, float]:
    """Train or pretrain as the command does, in turn with the bare loop of the same network, size and precision."""
    from skinlab.callbacks.assembly import build_callbacks, build_pretraining_callbacks
    from skinlab.cli.config import compose_settings
    from skinlab.runs.compilation import compile_network
    from skinlab.runs.parts import build_classifier, build_datamodule, build_pretrainer, trainer_arguments
    from skinlab.runs.pretraining_data import PretrainingData
    from skinlab.tracking.loggers import open_loggers

    words = [*overrides, f"data.batch_size={batch}", f"trainer.max_epochs={BLOCKS}", "model.init=random"]
    settings = compose_settings(command, [*words, "callbacks.progress=false", f"data.cache_dir={folder}"], folder)
    datamodule = build_datamodule(settings)
    if command == "train":
        module, _ = build_classifier(settings, datamodule)
        network, loop = module.network, bare_loop
        callbacks = build_callbacks(settings, folder, datamodule.prepared.classes)
        data: dict[str, Any] = {"datamodule": datamodule}
    else:
        module, _ = build_pretrainer(settings, datamodule)
        network, loop = module.backbone, bare_simclr
        callbacks = build_pretraining_callbacks(settings, folder, None)
        data = {"datamodule": PretrainingData(datamodule, settings)}
    arguments = trainer_arguments(settings.trainer, network)
    size, precision = str(settings.data.image_size), str(arguments["precision"])
    compile_network(settings, network, precision=precision, n_batches=steps)
    bare = loop(
        settings.model.name, size, precision, device="cuda" if torch.cuda.is_available() else "cpu", batch=batch
    )
    turns, limit = Turns(bare, batch, steps), WARMUP + steps + PROFILED
    trainer = pl.Trainer(
        logger=open_loggers(settings.logger, folder, settings.dump(), resumed=None),
        default_root_dir=folder,
        callbacks=[turns, *callbacks],
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        **arguments | {"limit_train_batches": limit, "limit_val_batches": 1},
    )
    trainer.fit(module, **data)
    return turns.results() | {"batch": batch, "image_size": settings.data.image_size}


def main() -> None:
    """Measure both, print a table and write it with the machine into a JSON file."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.speed", description="Training beside bare loops.")
    parser.add_argument("output", type=Path, help="folder of results")
    parser.add_argument("--data", nargs="+", default=["data=phantom"], help="overrides that name the data")
    parser.add_argument("--workers", default="auto", help="loading processes")
    parser.add_argument("--tiny", action="store_true", help="small networks, sizes and blocks, to try this on a CPU")
    words = parser.parse_args()
    common = [*words.data, f"data.num_workers={words.workers}", "data.cache=ram"]
    batch, steps = (4, 2) if words.tiny else (128, 24)
    cases = {
        "effnet_b3, 300 px": ("train", ["model=effnet_b3", "augment=heavy", "data.image_size=300"]),
        "SimCLR resnet50, 224 px": ("pretrain", ["ssl=simclr", "model=resnet50", "data.image_size=224"]),
        "resnet50, 224 px, CUDA graphs": (
            "train",
            ["model=resnet50", "augment=heavy", "data.image_size=224", "model.compile=cuda_graphs"],
        ),
    }
    if words.tiny:
        cases = {
            "effnet_lite0, 32 px": ("train", ["model=effnet_lite0", "augment=heavy", "data.image_size=32"]),
            "SimCLR resnet18, 32 px": ("pretrain", ["ssl=simclr", "model=resnet18", "data.image_size=32"]),
            "test_resnet, 32 px, compiled": (
                "train",
                ["model=timm", "model.name=test_resnet", "data.image_size=32", "model.compile=true"],
            ),
        }
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    table: dict[str, Any] = {"device": name, "torch": torch.__version__}
    words.output.mkdir(parents=True, exist_ok=True)
    for title, (command, overrides) in cases.items():
        folder = words.output / f"{command}_{len(table)}"
        table[title] = found = measure(command, [*common, *overrides], folder, batch=batch, steps=steps)
        print(
            f"{title}: {found['images_per_second']:.0f} images/s, bare loop {found['bare_images_per_second']:.0f}, "
            f"ratio {found['ratio']:.3f} [{found['ratio_least']:.3f}, {found['ratio_most']:.3f}], device busy "
            f"{100 * found['busy_share']:.0f} % of the time, in the bare loop {100 * found['bare_busy_share']:.0f} %",
            flush=True,
        )
        (words.output / "speed.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
