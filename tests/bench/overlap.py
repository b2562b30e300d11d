"""A training beside the sum of its parts: the processor's time of a bare loop and that of the input.

All three run in turn in one process on one thread, so that the sum is the least that a training can take and what is
above it is Lightning's, the log's and ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.data import phantom_256
from tests.bench.loops import BATCH, BLOCKS, WARMUP, bare_loop
from tests.bench.measure import cpu_seconds, report

STEPS, NETWORK, SIZE = 6, "resnet18", 96
PROGRAM = "import sys; from pathlib import Path; from tests.bench.overlap import ratios; "
PROGRAM += "print(*ratios(*map(Path, sys.argv[1:])))"


def bench_overlap(folder: Path) -> None:
    """Compare the processor's time of a training with that of its parts, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, str(phantom_256(folder)), str(folder / "overlap")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    title = f"training of {NETWORK} at {SIZE} px from JPEGs, CPU time: bare loop and input / ours"
    report(title, [float(each) for each in ran.stdout.split()], 0.97, least=True)


def ratios(images: Path, folder: Path) -> list[float]:
    """Return, for each block, the time of the parts over that of the training."""
    import pytorch_lightning as pl

    from skinlab.callbacks.assembly import build_callbacks
    from skinlab.cli.config import compose_settings
    from skinlab.runs.parts import build_classifier, build_datamodule, trainer_arguments
    from skinlab.tracking.loggers import open_loggers

    words = ["data=ham10000", f"data.root={images}", f"data.image_size={SIZE}", "data.num_workers=0"]
    words += [f"data.cache_dir={folder}", f"data.batch_size={BATCH}", "model=resnet18", "model.init=random"]
    words += ["augment=heavy", "trainer=cpu", f"trainer.max_epochs={BLOCKS}", "callbacks.progress=false"]
    settings: Any = compose_settings("train", words, folder)
    datamodule = build_datamodule(settings)
    classifier, _ = build_classifier(settings, datamodule)
    arguments = trainer_arguments(settings.trainer, classifier.network)
    bare = bare_loop(NETWORK, str(SIZE), str(arguments["precision"]))
    found: list[float] = []

    class Turns(pl.Callback):
        """Take the time of a block of ours, then those of its parts."""

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if batch_idx == WARMUP - 1:
                self.start = time.process_time()
            if batch_idx == WARMUP + STEPS - 1:
                self.ours = time.process_time() - self.start

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            batches = iter(datamodule.train_dataloader())
            loading = cpu_seconds(lambda: [next(batches) for _ in range(STEPS)])
            bare(0)
            step = cpu_seconds(lambda: [bare(number) for number in range(STEPS)])
            found.append((loading + step) / self.ours)

    trainer = pl.Trainer(
        logger=open_loggers(settings.logger, folder, settings.dump(), resumed=None),
        default_root_dir=folder,
        callbacks=[Turns(), *build_callbacks(settings, folder, datamodule.prepared.classes)],
        use_distributed_sampler=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        **arguments | {"limit_train_batches": WARMUP + STEPS, "limit_val_batches": 1},
    )
    trainer.fit(classifier, datamodule=datamodule)
    return found[1:]
