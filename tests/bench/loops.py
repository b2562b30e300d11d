"""Loops that training is compared with, each in a process of its own: ``python -m tests.bench.loops NAME ...``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

BLOCKS, STEPS, WARMUP, BATCH = 7, 14, 5, 32


class Peer:
    """A loop to compare with, in a process of its own that sleeps until its block is requested.

    Args:
        words: name of the loop below, and its arguments.
    """

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "tests.bench.loops", *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.block()  # the first one warms up

    def block(self) -> float:
        """Run a block; return its images a second."""
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())  # type: ignore[union-attr]

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def bare_loop(name: str, size: str, precision: str, device: str = "cpu", batch: int = BATCH) -> Callable[[int], Any]:
    """Return the step of a plain loop on float tensors in the device's memory."""
    import timm
    import torch

    network = timm.create_model(name, num_classes=7).to(device, memory_format=torch.channels_last).train()
    images = torch.randn(4 * batch, 3, int(size), int(size), device=device).to(memory_format=torch.channels_last)
    target = torch.randint(0, 7, (4 * batch,), device=device)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def step(number: int) -> None:
        rows = slice(number % 4 * batch, (number % 4 + 1) * batch)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = torch.nn.functional.cross_entropy(network(images[rows]).float(), target[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def plain_transform(size: int) -> Callable[[Any], Any]:
    """Return torchvision's transforms of the range of ``augment=heavy``, from a PIL image to a float tensor."""
    from torchvision import transforms as tv

    return tv.Compose(
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


def plain_recipe(name: str, size: str, root: str) -> Callable[[int], Any]:
    """Return the step of the plain recipe: float32, NCHW, PIL and torchvision in the main process."""
    import timm
    import torch
    from PIL import Image

    paths, heavy = sorted(Path(root).rglob("*.jpg")), plain_transform(int(size))
    network = timm.create_model(name, num_classes=7).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def step(number: int) -> None:
        files = [paths[(number * BATCH + i) % len(paths)] for i in range(BATCH)]
        images = torch.stack([heavy(Image.open(file).convert("RGB")) for file in files])
        loss = torch.nn.functional.cross_entropy(network(images), torch.randint(0, 7, (BATCH,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def scdiag_recipe(name: str, size: str, root: str) -> Callable[[int], Any]:
    """Return the step of scdiag 0.1.0: its transforms on PIL images in the main process, and its training loop."""
    import timm
    import torch
    from PIL import Image
    from scdiag.train import build_transforms, parse_args, train_one_epoch

    class Network(torch.nn.Module):
        """Return the outputs as scdiag's models do; its own loader of timm's networks downloads weights."""

        def __init__(self) -> None:
            super().__init__()
            self.network = timm.create_model(name, num_classes=7)

        def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(logits=self.network(pixel_values))

    paths, arguments = sorted(Path(root).rglob("*.jpg")), parse_args([])
    statistics = SimpleNamespace(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    transform, _ = build_transforms(statistics, int(size))
    network, loss, device = Network(), torch.nn.CrossEntropyLoss(), torch.device("cpu")
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def step(number: int) -> None:
        files = [paths[(number * BATCH + i) % len(paths)] for i in range(BATCH)]
        images = torch.stack([transform(Image.open(file).convert("RGB")) for file in files])
        batches = [(images, torch.randint(0, 7, (BATCH,)))]
        train_one_epoch(network, batches, loss, optimizer, None, None, device, None, 0, arguments)

    return step


def bare_simclr(name: str, size: str, precision: str, device: str = "cpu", batch: int = BATCH) -> Callable[[int], Any]:
    """Return the step of SimCLR in a plain loop on float views in the device's memory."""
    import timm
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead

    network = timm.create_model(name, num_classes=0).to(device, memory_format=torch.channels_last).train()
    head, criterion = SimCLRProjectionHead(network.num_features, 2048, 128).to(device), NTXentLoss(0.1)
    shape = (4 * batch, 3, int(size), int(size))
    views = [torch.randn(shape, device=device).to(memory_format=torch.channels_last) for _ in range(2)]
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-3)

    def step(number: int) -> None:
        rows = slice(number % 4 * batch, (number % 4 + 1) * batch)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
            first, second = (head(network(view[rows])) for view in views)
        loss = criterion(first.float(), second.float())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return step


def lightly_recipe(name: str, size: str, root: str) -> Callable[[int], Any]:
    """Return the step of SimCLR as a subclass of lightly's benchmark module, with lightly's data set and transform."""
    import timm
    import torch
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from lightly.utils.benchmarking import BenchmarkModule

    class SimCLR(BenchmarkModule):
        """Learn as the models in lightly's benchmarks do."""

        def __init__(self) -> None:
            super().__init__(dataloader_kNN=None, num_classes=7)
            self.backbone = timm.create_model(name, num_classes=0)
            self.head, self.criterion = SimCLRProjectionHead(self.backbone.num_features, 2048, 128), NTXentLoss(0.1)

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            (first, second), _, _ = batch
            return self.criterion(self.head(self.backbone(first)), self.head(self.backbone(second)))

    images = LightlyDataset(root, transform=SimCLRTransform(input_size=int(size)))
    loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True, drop_last=True)
    model = SimCLR().train()
    optimizer, batches = torch.optim.AdamW(model.parameters(), 1e-3), iter(loader)

    def step(number: int) -> None:
        nonlocal batches
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        loss = model.training_step(batch, number)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def serve(step: Callable[[int], Any]) -> None:
    """Run a block of steps for every line that comes in, and answer with its images a second."""
    for _ in sys.stdin:
        for number in range(WARMUP + STEPS):
            if number == WARMUP:
                start = time.perf_counter()
            step(number)
        print(STEPS * BATCH / (time.perf_counter() - start), flush=True)


LOOPS = {
    "bare": bare_loop,
    "plain": plain_recipe,
    "scdiag": scdiag_recipe,
    "simclr": bare_simclr,
    "lightly": lightly_recipe,
}

if __name__ == "__main__":
    serve(LOOPS[sys.argv[1]](*sys.argv[2:]))
