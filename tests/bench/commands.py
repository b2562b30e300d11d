"""Speed of whole commands: their start, and prediction beside a busy process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.bench.data import phantom_256
from tests.bench.measure import command_seconds, report, seconds


def bench_start() -> None:
    """Compare what needs no torch with importing it."""
    torch = command_seconds("-c", "import torch")
    for words in (["--help"], ["--cfg", "job"], ["loss=fokal"]):
        ratio = command_seconds("-m", "skinlab.train", *words) / torch
        limit = 0.25 if words == ["--help"] else 0.6
        report(f"skinlab.train {' '.join(words)} / import torch, CPU time", ratio, limit, least=False)


def bench_neighbour(folder: Path, rounds: int = 3) -> None:
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
    for path in sorted(phantom_256(folder).rglob("*.jpg"))[:200]:
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


def bench_processes(folder: Path, rounds: int = 3) -> None:
    """Pretrain by two processes of one thread, in turn with one process of two threads, at the same images a step."""
    one = ["trainer=cpu", "data.batch_size=64"]  # the default
    two = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "data.batch_size=32"]

    def rate(name: str, words: list[str], threads: int) -> float:
        run = folder / "processes" / name
        data = ["data=ham10000", f"data.root={phantom_256(folder)}", "data.image_size=64", "data.cache=ram"]
        command = [sys.executable, "-m", "skinlab.pretrain", "ssl=simclr", "model=resnet18", "model.init=random", *data]
        command += ["data.num_workers=0", "probe.every_n_epochs=0", "trainer.max_epochs=3", f"hydra.run.dir={run}"]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run([*command, *words], env=environment, check=True, capture_output=True)
        logged = pd.read_csv(run / "csv" / "metrics.csv")["images_per_second"].dropna()
        return float(logged.iloc[1:].median())  # the first epoch warms up

    pairs = [(rate(f"two{n}", two, 1), rate(f"one{n}", one, 2)) for n in range(rounds)]
    title = "SimCLR, resnet18, 64 px, images/s on two cores: two processes / one of two threads"
    report(title, [a / b for a, b in pairs], 0.95, least=True)
