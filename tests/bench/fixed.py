"""What a job of a sweep costs beside its batches and predictions, in seconds and in times of a training's imports."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.bench.data import ham10000_or_phantom
from tests.bench.measure import command_seconds, report, seconds

JOBS, BATCHES, NETWORK, SIZE = 4, 2, "resnet18", 64
PROGRAM = "import sys; from pathlib import Path; from tests.bench.fixed import network_seconds; "
PROGRAM += "print(network_seconds(sys.argv[2:], Path(sys.argv[1])))"
IMPORTS = "import skinlab.commands.train, skinlab.report.figures, skinlab.report.page"


def bench_fixed(folder: Path) -> None:
    """Run a sweep of short trainings, and what their network does alone."""
    root = ham10000_or_phantom(folder)
    words = [
        "data=ham10000",
        f"data.root={root}",
        f"data.image_size={SIZE}",
        f"data.cache_dir={folder / 'fixed_cache'}",
    ]
    words += ["data.cache=disk", "data.num_workers=0", "data.test_fraction=0.04", "data.n_folds=24", "trainer=cpu"]
    words += [f"trainer.limit_train_batches={BATCHES}", "trainer.max_epochs=1", "trainer.precision=32-true"]
    words += ["model=resnet18", "model.init=random", "callbacks.progress=false"]
    sweep, environment = folder / "fixed", os.environ | {"OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def alone() -> float:
        return float(run("-c", PROGRAM, str(folder / "fixed_alone"), *words))

    before = [alone() for _ in range(2)][1:]  # the first one fills the caches
    seeds = ",".join(map(str, range(JOBS)))
    whole = seconds(lambda: run("-m", "skinlab.train", "-m", *words, f"seed={seeds}", f"hydra.sweep.dir={sweep}"))
    took = [json.loads((sweep / str(i) / "job.json").read_text())["seconds"] for i in range(1, JOBS)]
    network = statistics.mean([*before, alone()])  # of a machine whose speed drifts
    fixed, imports = [each - network for each in took], command_seconds("-c", IMPORTS)
    title = f"a job of {BATCHES} batches of {root.name} at {SIZE} px, beside batches, validation and predictions"
    report(title, fixed, 3, least=False, unit=" s")
    report("the same / the imports of a training", [each / imports for each in fixed], 0.4, least=False)
    job = sum(took) / len(took)
    print(f"      of {job:.1f} s; the whole sweep, with its start and the pages, by its jobs: {whole / JOBS:.1f} s")


def network_seconds(words: list[str], folder: Path) -> float:
    """Return the seconds of the steps, the validation and the predictions of a training, with nothing around them."""
    import torch

    from skinlab.cli.config import compose_settings
    from skinlab.models.prediction import predict_probabilities
    from skinlab.runs.parts import build_classifier, build_datamodule, trainer_arguments
    from tests.bench.loops import bare_loop

    settings: Any = compose_settings("train", words, folder)
    datamodule = build_datamodule(settings)
    classifier, _ = build_classifier(settings, datamodule)
    trainer_arguments(settings.trainer, classifier.network)
    for part in ("train", "val", "test"):
        next(iter(datamodule.inference_loader(part)))  # fills the caches
    step = bare_loop(NETWORK, str(SIZE), "32-true")
    step(0)
    classifier.eval()

    @torch.inference_mode()
    def validate() -> None:
        for batch in datamodule.val_dataloader():
            classifier(batch["image"])

    def work() -> None:
        for number in range(BATCHES):
            step(number)
        validate()
        for part in ("val", "test"):
            predict_probabilities(classifier, datamodule.inference_loader(part))

    return seconds(work)
