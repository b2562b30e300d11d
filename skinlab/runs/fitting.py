"""Fit a module as every command that trains does: lock the directory, write the setup, build the Trainer, fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import SimpleProfiler

from skinlab.callbacks.learning_curve import LearningCurve
from skinlab.callbacks.requeue import RequeueCheckpoint
from skinlab.callbacks.safety import AtomicCheckpointIO, KeepSignals, StayStopped
from skinlab.data.preparation import Prepared
from skinlab.errors import UserError
from skinlab.files import claim, is_main_process, write_json, write_text
from skinlab.processes.requeue import is_requeued, requeue_at
from skinlab.runs.resuming import REQUEUED, check_other_run, check_split
from skinlab.runs.run_log import announce, keeping_log
from skinlab.settings.groups import TrainerSettings
from skinlab.settings.run import RunSettings

# What torch and Lightning raise where a part of a checkpoint is missing or of another form.
MISFITS = (RuntimeError, KeyError, IndexError, TypeError, ValueError, AttributeError)


@contextmanager
def claimed(run_dir: Path, trainer: TrainerSettings) -> Iterator[None]:
    """Hold a run directory for this process and those that it starts, keep the log there, and obey SLURM's signal.

    A job that SLURM has started again waits for what is left of it on a node that was lost.

    Args:
        run_dir: of the run.
        trainer: of the run.

    Raises:
        UserError: another process uses it, or it can't be written.
    """
    if trainer.requeue_signal:
        requeue_at(trainer.requeue_signal)
    if not is_main_process():
        yield
        return
    with claim(run_dir, wait=is_requeued()), keeping_log(run_dir):
        yield


def write_setup(run_dir: Path, settings: RunSettings, prepared: Prepared) -> None:
    """Write what is known before the first epoch: ``audit.json``, ``split.csv`` and ``config.yaml``.

    Beside the manifest ``split.csv`` holds each image's content hash, by which a run that starts from these weights and
    a prediction by them know their training images, and a hash of its file's end, which finds those files quickly.

    Raises:
        UserError: the run continues from a checkpoint of other settings or another split.
    """
    check_other_run(settings, run_dir)
    check_split(settings.resume, run_dir, prepared.split_hash)
    if is_main_process():
        write_json(run_dir / "audit.json", prepared.audit | {"split_sha256": prepared.split_hash})
        split = prepared.manifest.assign(image_hash=list(prepared.image_hashes.values()))
        split["file_tail"] = list(prepared.file_tails.values())
        write_text(run_dir / "split.csv", split.to_csv(index=False))
        write_config(run_dir, settings)
        announce(run_dir, settings)


def write_config(run_dir: Path, settings: RunSettings) -> None:
    """Write ``config.yaml``, by which the run is continued and its results are known."""
    write_text(run_dir / "config.yaml", yaml.safe_dump(settings.dump(), sort_keys=False, allow_unicode=True))


OTHER_RANKS: Mapping[str, float] = {"best/monitor": 0.0}  # returned by the processes that write nothing


def fit(
    settings: RunSettings,
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    callbacks: Sequence[pl.Callback],
    loggers: Sequence[Logger],
    arguments: Mapping[str, Any],
    checkpoint: Path | None,
) -> pl.Trainer:
    """Fit a module to the data of a run and return the Trainer.

    Args:
        settings: of the run.
        module: to train.
        data: to train on.
        callbacks: of the run.
        loggers: of the run.
        arguments: see :func:`skinlab.runs.parts.trainer_arguments`.
        checkpoint: from which the run continues, None for a new one.

    Raises:
        UserError: the content of the checkpoint does not fit the run.
    """
    run_dir = Path(settings.run_dir)
    profiler = SimpleProfiler(run_dir, filename="profile") if arguments.get("profiler") == "simple" else None
    requeued = RequeueCheckpoint(run_dir / "checkpoints" / REQUEUED, settings.trainer.requeue_signal)
    trainer = pl.Trainer(
        logger=list(loggers),
        callbacks=[*callbacks, LearningCurve(), KeepSignals(), StayStopped(), requeued],
        use_distributed_sampler=False,
        default_root_dir=run_dir,
        enable_model_summary=False,
        enable_progress_bar=False,  # skinlab.callbacks.progress shows it
        num_sanity_val_steps=0,
        **{**arguments, "profiler": profiler, "plugins": [AtomicCheckpointIO(), *arguments["plugins"]]},
    )
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except MISFITS as error:
        started = any(isinstance(each, KeepSignals) and each.started for each in trainer.callbacks)  # type: ignore[attr-defined]
        if checkpoint is None or started or isinstance(error, (UserError, torch.OutOfMemoryError)):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
        raise UserError(
            f"checkpoint {checkpoint} is damaged or not of this run ({reason}); restore it, or choose another "
            "hydra.run.dir"
        ) from None
    return trainer
