"""Speed of the input and of prediction on one core, beside what they can't be faster than and beside others' code.

Every work gets the same images in the same turn, and its processor's time counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.data import phantom_256
from tests.bench.loops import plain_transform
from tests.bench.measure import cpu_ratios, quotient, report

SIZE, BATCH, REPEATS = 224, 16, 15
# The part, in a process of its own that has one thread.
PROGRAM = "import sys; from pathlib import Path; from tests.bench import loading; loading.{}(Path(sys.argv[1]))"


def bench_input(folder: Path) -> None:
    """Make training batches from JPEGs, beside timm's loader, torchvision's transforms and decoding alone."""
    _on_one_thread("input_rows", phantom_256(folder))


def bench_predict(folder: Path) -> None:
    """Predict JPEGs, beside bare forward passes and decoding."""
    _on_one_thread("predict_rows", phantom_256(folder))


def _on_one_thread(function: str, images: Path) -> None:
    command = [sys.executable, "-c", PROGRAM.format(function), str(images)]
    ran = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    for line in filter(lambda line: "\t" in line, ran.stdout.splitlines()):
        what, limit, *values = line.split("\t")
        report(what, [float(value) for value in values], float(limit), least=True)


def _row(what: str, limit: float, values: list[float]) -> None:
    print(what, limit, *values, sep="\t")


def _files(root: Path, turn: int) -> list[str]:
    paths = sorted(map(str, root.rglob("*.jpg")))
    return [paths[(turn * BATCH + i) % len(paths)] for i in range(BATCH)]


def input_rows(root: Path) -> None:
    """Print the ratios of the input, one line each."""
    import numpy as np
    import torch
    from PIL import Image
    from timm.data import ImageDataset as TimmDataset
    from timm.data import create_transform
    from timm.data.loader import fast_collate

    from skinlab.data.dataset import ImageDataset
    from skinlab.data.samplers import Draw
    from skinlab.data.transforms import heavy

    paths = sorted(map(str, root.rglob("*.jpg")))
    ours = ImageDataset(paths, np.zeros(len(paths)), size=SIZE, transform=heavy(SIZE))
    plain = plain_transform(SIZE)
    timms = TimmDataset(
        str(Path(paths[0]).parent), transform=create_transform(SIZE, is_training=True, use_prefetcher=True)
    )
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE))) for path in paths[:BATCH]])
    cached = ImageDataset(paths[:BATCH], np.zeros(BATCH), size=SIZE, cache=pixels)

    def rows(turn: int) -> range:
        return range(turn * BATCH, (turn + 1) * BATCH)

    works: dict[str, Any] = {
        "ours": lambda turn: ours.batch([Draw(row % len(paths)) for row in rows(turn)]),
        "plain": lambda turn: torch.stack([plain(Image.open(path).convert("RGB")) for path in _files(root, turn)]),
        "timm": lambda turn: fast_collate([timms[row % len(timms)] for row in rows(turn)]),
        "decode": lambda turn: [np.asarray(Image.open(path)) for path in _files(root, turn)],
        "cache": lambda turn: [cached.batch(range(BATCH)) for _ in range(20)],
        "copy": lambda turn: [pixels.copy() for _ in range(20)],
    }
    took = cpu_ratios(works, repeats=REPEATS)
    title = f"augment=heavy from JPEGs of 256 px at {SIZE} px, CPU time:"
    _row(f"{title} torchvision and PIL / ours", 1.5, quotient(took["plain"], took["ours"]))
    _row(f"{title} timm's loader with its own augmentation / ours", 1.0, quotient(took["timm"], took["ours"]))
    _row(f"{title} decoding alone / ours", 0.3, quotient(took["decode"], took["ours"]))
    title = "a batch from the cache, CPU time: memory bandwidth (a copy of its bytes) / ours"
    _row(title, 0.5, quotient(took["copy"], took["cache"]))


def predict_rows(root: Path) -> None:
    """Print the ratios of prediction, one line each."""
    import timm
    import torch

    from skinlab.inference.dataset import InferenceDataset
    from skinlab.models.prediction import STEP, predict_probabilities

    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=7).to(memory_format=torch.channels_last).eval()
    paths = sorted(map(str, root.rglob("*.jpg")))
    dataset = InferenceDataset(paths, SIZE, "crop")

    def forward(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(images.float() / 255)
        return logits

    def batch(turn: int) -> dict[str, Any]:
        return dataset.batch([row % len(paths) for row in range(turn * BATCH, (turn + 1) * BATCH)])

    @torch.inference_mode()
    def bare(images: torch.Tensor) -> None:
        for part in images.split(STEP["cpu"]):
            forward(part)

    ready = batch(0)
    works: dict[str, Any] = {
        "ours": lambda turn: predict_probabilities(forward, [batch(turn)]),
        "in memory": lambda _: predict_probabilities(forward, [ready]),
        "bare": lambda _: bare(ready["image"]),
        "input": batch,
    }
    took = cpu_ratios(works, repeats=REPEATS)
    ideal = [a + b for a, b in zip(took["bare"], took["input"], strict=True)]
    title = f"prediction by resnet18 at {SIZE} px, CPU time:"
    _row(f"{title} bare forward passes / ours, images in memory", 0.95, quotient(took["bare"], took["in memory"]))
    _row(f"{title} bare forward passes and reading / ours, from JPEGs", 0.95, quotient(ideal, took["ours"]))
