"""Speed as ratios, each taken in one run: ``make bench``. Prints figure, limit and verdict; nothing here is a test.

The training ratios are of one training in its steady state, which stops after every block to let the loops it is
compared with run theirs, each in a process of its own; the median ratio of neighbouring blocks counts, so that a drift
of the machine's speed falls on both. Run it on a machine with nothing else to do.
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

BLOCKS, STEPS, WARMUP, BATCH = 7, 14, 5, 32


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
    from skinlab.data.audit.checks import audit
    from skinlab.data.readers.ham10000 import read_ham10000

    manifest = read_ham10000(Path(root) / "ham10000")
    for words, limit in (("first", 60.0), ("cached", 2.0)):
        took = seconds(lambda: audit(manifest, n_folds=5, cache_dir=folder, num_workers=2))
        report(f"audit of {len(manifest)} images, {words}", took, limit, least=False, unit=" s")


def bench_neighbour(folder: Path, root: Path, rounds: int = 3) -> None:
    """Predict 200 images with flips, alone and beside a busy process, with threads that wait passively or spin."""
    from skinlab.inference.bundle import Bundle, save_bundle
    from skinlab.inference.member import Member
    from skinlab.models.classifier import Classifier

    settings = {"image_size": 128, "fit": "crop", "mean": [0.5] * 3, "std": [0.5] * 3}
    network = {"name": "tf_efficientnet_lite0", "dropout": 0.0, "head": "linear"}
    prior = [0.5, 0.5]
    classifier = Classifier(network, ["a", "b"], settings, optimizer={}, scheduler={}, training_prior=prior)
    save_bundle(Bundle((Member(classifier, 128, "crop", prior, ""),), ["a", "b"]), folder / "model.bundle")
    images = folder / "200"
    images.mkdir()
    for path in sorted(root.rglob("*.jpg"))[:200]:
        (images / path.name).symlink_to(path)
    command = [sys.executable, "-m", "skinlab.predict", f"ckpt={folder}/model.bundle", f"input={images}", "tta=flips"]
    command += [f"output={folder}/predictions.csv", "overwrite=true", "device=cpu"]
    spinning = {"GOMP_SPINCOUNT": "300000"}  # libgomp's own, where no policy is set

    def took(environment: dict[str, str]) -> float:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        return seconds(lambda: subprocess.run(command, env=plain | environment, check=True, capture_output=True))

    alone = {name: [took(each) for _ in range(rounds)] for name, each in (("ours", {}), ("spinning", spinning))}
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        beside = {name: [took(each) for _ in range(rounds)] for name, each in (("ours", {}), ("spinning", spinning))}
    finally:
        neighbour.kill()
        neighbour.wait()
    quick, slow = {k: min(v) for k, v in alone.items()}, {k: statistics.median(v) for k, v in beside.items()}
    report("predict tta=flips alone: passive waiting / spinning", quick["ours"] / quick["spinning"], 1.15, least=False)
    report("predict tta=flips: beside a busy process / alone", slow["ours"] / quick["ours"], 2.5, least=False)
    report("the same, spinning / passive waiting", slow["spinning"] / slow["ours"], 1.0, least=True)


def bench_views() -> None:
    """Make two views of an image, by turns with lightly, in a process of its own that has one core."""
    code = "from tests.bench import views_ratio; print(views_ratio())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    report("two views of a 256-px image at 224 px: lightly's SimCLRTransform / ours", float(ran.stdout), 6, least=True)


def views_ratio(rounds: int = 15, images: int = 20) -> float:
    """Return how many times as long lightly's views take as ours, on one core."""
    import random

    import cv2
    import numpy as np
    import torch
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    from skinlab.data.dataset import reseed, share_generators
    from skinlab.data.samplers import Draw
    from skinlab.data.views import ssl_default

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    random.seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    ours, theirs, picture = ssl_default(224), SimCLRTransform(input_size=224), Image.fromarray(pixels)
    share_generators(ours)

    def our_views(first: int) -> None:
        for number in range(first, first + images):
            for view in range(2):
                reseed(ours, 0, Draw(number), view)
                ours(image=pixels)["image"]

    def their_views() -> None:
        for _ in range(images):
            theirs(picture)

    ratios = [seconds(their_views) / seconds(lambda at=turn: our_views(at * images)) for turn in range(rounds + 1)]
    return statistics.median(ratios[1:])


class Peer:
    """A loop to compare with, in a process of its own that sleeps until its block is requested.

    Args:
        words: name of the loop below, and its arguments.
    """

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "tests.bench", *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.block()  # the first one warms up

    def block(self) -> float:
        """Run a block; return its images a second."""
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())  # type: ignore[union-attr]

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def bare_loop(name: str, size: str, precision: str) -> Callable[[int], Any]:
    """Return the step of a plain loop on float tensors in memory."""
    import timm
    import torch

    network = timm.create_model(name, num_classes=7).to(memory_format=torch.channels_last).train()
    images = torch.randn(4 * BATCH, 3, int(size), int(size)).to(memory_format=torch.channels_last)
    target = torch.randint(0, 7, (4 * BATCH,))
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)

    def step(number: int) -> None:
        rows = slice(number % 4 * BATCH, (number % 4 + 1) * BATCH)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss = torch.nn.functional.cross_entropy(network(images[rows]).float(), target[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def plain_recipe(name: str, size: str, root: str) -> Callable[[int], Any]:
    """Return the step of the plain recipe: float32, NCHW, PIL and torchvision in the main process."""
    import timm
    import torch
    from PIL import Image
    from torchvision import transforms as tv

    paths = sorted(Path(root).rglob("*.jpg"))
    heavy = tv.Compose(
        [
            tv.Resize(int(size)),
            tv.CenterCrop(int(size)),
            tv.RandomHorizontalFlip(),
            tv.RandomVerticalFlip(),
            tv.RandomAffine(45, translate=(0.1, 0.1), scale=(0.75, 1.25), shear=10),
            tv.ColorJitter(0.2, 0.2, 0.2, 0.02),
            tv.ToTensor(),
            tv.RandomErasing(0.5),
            tv.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
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


def bare_simclr(name: str, size: str, precision: str) -> Callable[[int], Any]:
    """Return the step of SimCLR in a plain loop on float views in memory."""
    import timm
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules.heads import SimCLRProjectionHead

    network = timm.create_model(name, num_classes=0).to(memory_format=torch.channels_last).train()
    head, criterion = SimCLRProjectionHead(network.num_features, 2048, 128), NTXentLoss(0.1)
    views = [torch.randn(4 * BATCH, 3, int(size), int(size)).to(memory_format=torch.channels_last) for _ in range(2)]
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, 1e-3)

    def step(number: int) -> None:
        rows = slice(number % 4 * BATCH, (number % 4 + 1) * BATCH)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            first, second = (head(network(view[rows])) for view in views)
        loss = criterion(first.float(), second.float())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
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


Peers = Callable[
    [str], dict[tuple[str, float], list[str]]
]  # from a precision: title and limit of each `Peer`, its words


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


def bench_pretraining(overrides: list[str], folder: Path, peers: Peers) -> None:
    """Pretrain as ``skinlab.pretrain`` does but on views in memory, in turn with other loops."""
    import torch

    from skinlab.callbacks.assembly import build_pretraining_callbacks
    from skinlab.runs.parts import build_datamodule, build_pretrainer, trainer_arguments

    settings = composed("pretrain", overrides, folder)
    pretrainer, _ = build_pretrainer(settings, build_datamodule(settings))
    arguments = trainer_arguments(settings.trainer, pretrainer.backbone)
    shape = (BATCH, 3, settings.data.image_size, settings.data.image_size)

    def batch() -> dict[str, Any]:
        views = [torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2)]
        return {
            "views": [view.contiguous(memory_format=torch.channels_last) for view in views],
            "row": torch.arange(BATCH),
        }

    callbacks = build_pretraining_callbacks(settings, folder, None)
    batches: Any = [batch() for _ in range(4)] * (WARMUP + STEPS)
    in_memory = torch.utils.data.DataLoader(batches, batch_size=None)
    compare(settings, pretrainer, callbacks, arguments, peers, train_dataloaders=in_memory)


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
        report(title, statistics.median(a / b for a, b in pairs), limit, least=True)


def bench_bootstrap() -> None:
    """Give every figure of HAM10000's size its interval, and compare with a loop over scikit-learn."""
    import numpy as np
    from sklearn import metrics as sk

    from skinlab.evaluation.metrics.scorer import Scorer
    from skinlab.evaluation.statistics.bootstrap import Resampler, bootstrap

    n, rng = 10_015, np.random.default_rng(0)
    target = rng.choice(7, n, p=[0.033, 0.051, 0.11, 0.011, 0.111, 0.67, 0.014])
    p = rng.dirichlet(np.full(7, 0.3), n) + 0.3 * np.eye(7)[target]
    p /= p.sum(1, keepdims=True)
    resampler = Resampler(rng.integers(7470, size=n), target)

    def ours() -> None:
        bootstrap(Scorer(p, target, list("abcdefg")), resampler, n_draws=2000)

    def loop(draws: int = 5) -> None:
        for weights in resampler.block(0, 0, draws).T.astype(int):
            rows = np.repeat(np.arange(n), weights)
            truth, score, called = target[rows], p[rows], p[rows].argmax(1)
            for figure in (sk.balanced_accuracy_score, sk.matthews_corrcoef, sk.confusion_matrix):
                figure(truth, called)
            sk.precision_recall_fscore_support(truth, called, zero_division=0)
            sk.log_loss(truth, score)
            for i in range(7):
                sk.average_precision_score(truth == i, score[:, i])
                sk.roc_auc_score(truth == i, score[:, i])
                sk.roc_auc_score(truth != i, -score[:, i], max_fpr=0.2)
                sk.brier_score_loss(truth == i, score[:, i])

    took = seconds(ours)
    report("2,000 draws of every figure, 10,015 rows, 7 classes", took, 10, least=False, unit=" s")
    report("the same by a loop over scikit-learn / ours", seconds(loop) / 5 * 2000 / took, 50, least=True)


def bench_steps(root: Path, folder: Path) -> None:
    """Compare training and pretraining through the project with bare loops."""
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
        bench_bootstrap()
        bench_views()
        root = bench_phantom(folder)
        bench_neighbour(folder, root)
        bench_steps(root, folder)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve({"bare": bare_loop, "plain": plain_recipe, "simclr": bare_simclr}[sys.argv[1]](*sys.argv[2:]))
    else:
        main()
