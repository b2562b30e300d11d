"""One pretraining run, from a resolved config to a backbone that fine-tuning starts from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from skinlab.callbacks.assembly import build_pretraining_callbacks
from skinlab.callbacks.probe import Probe
from skinlab.data.datamodule import SkinDataModule
from skinlab.errors import UserError
from skinlab.files import is_main_process
from skinlab.runs.consistency import cautions, check_consistency
from skinlab.runs.fitting import build_trainer, claimed, fit, training_limits, write_setup
from skinlab.runs.parts import build_datamodule, build_pretrainer, trainer_arguments
from skinlab.runs.pretraining_data import PretrainingData, build_probe
from skinlab.runs.pretraining_outcome import print_outcome, write_outcome
from skinlab.runs.resuming import find_pretraining, finished_metrics, recorded_config
from skinlab.runs.run_directory import writing_results
from skinlab.selfsup.methods import check_batch
from skinlab.settings.pretrain import PretrainSettings
from skinlab.tracking.loggers import check_loggers, log_summary, run_loggers

log = logging.getLogger(__name__)

# What the groups that skinlab.train shares hold for it alone, and the value at which it changes nothing.
TRAINING_ONLY: dict[str, dict[str, Any]] = {
    "model": {"head": "linear", "ema_decay": 0.0, "freeze_epochs": 0},
}


def pretrain(settings: PretrainSettings) -> float:
    """Pretrain, then write the backbone of the best epoch.

    Args:
        settings: of the command.

    Returns:
        The best value of the monitored metric, whose direction is ``best/mode`` of ``metrics.json``.

    Raises:
        UserError: whatever a person must mend; all that can be known is known before anything is written.
    """
    config = settings.dump()
    run_dir = Path(config["run_dir"])
    with claimed(run_dir):
        check_loggers(config["logger"])
        check_settings(config)
        check_consistency(config)
        config = recorded_config(config, run_dir)
        metrics = finished_metrics(config, run_dir) or _pretrain(config, run_dir)
        if is_main_process():
            print_outcome(metrics, run_dir)
        return float(metrics["best/monitor"])


def check_settings(config: dict[str, Any]) -> None:
    """Refuse settings that make no pretraining.

    Raises:
        UserError: one of them.
    """
    for group, neutral in TRAINING_ONLY.items():
        for name, value in neutral.items():
            if config[group][name] != value:
                raise UserError(f"{group}.{name}={config[group][name]}: it is for skinlab.train; leave it at {value}")
    probe = config["probe"]
    if probe["every_n_epochs"] < 0 or probe["max_images"] < 2:
        raise UserError(
            f"probe.every_n_epochs={probe['every_n_epochs']}, probe.max_images={probe['max_images']}: "
            "at least 0 (never) and at least 2 are expected"
        )
    check_batch(config["ssl"], config["data"]["batch_size"])


def _pretrain(config: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    datamodule = build_datamodule(config, unlabeled_ok=True)
    pretrainer, start = build_pretrainer(config, datamodule)
    data = PretrainingData(datamodule, config)
    data.train_dataloader()  # refuses now what it would refuse later
    checkpoint = find_pretraining(config["resume"], run_dir, config["ssl"])
    settings = trainer_arguments(config, pretrainer.backbone, leaves_unused=pretrainer.method.leaves_unused)
    probe = build_probe(config, datamodule)
    callbacks = build_pretraining_callbacks(config, run_dir, probe)
    _announce(config, datamodule, probe)
    write_setup(run_dir, config, datamodule.prepared)

    with run_loggers(config, run_dir, resumed=checkpoint) as loggers:
        progress = config["callbacks"]["progress"]
        trainer = build_trainer(run_dir, callbacks, loggers, progress=progress, settings=settings)
        if config["model"]["compile"]:
            pretrainer.backbone.compile()
        fit(trainer, pretrainer, data, checkpoint)
        if not trainer.is_global_zero:
            return {"best/monitor": 0.0}
        facts = start | {"precision": str(trainer.precision)} | training_limits(trainer)
        with writing_results(run_dir):
            metrics = write_outcome(run_dir, config, datamodule, pretrainer, facts)
            log_summary(loggers, metrics)
        return metrics


def _announce(config: dict[str, Any], datamodule: SkinDataModule, probe: Probe | None) -> None:
    """Say what a person should know before the first epoch."""
    n_images = len(datamodule.pool_rows(config["pool"]))
    for line in cautions(config, n_images // datamodule.batch_size):
        log.warning(line)
    log.info(
        "%s: %d images (pool=%s), batches of %d; %s; split %s",
        config["data"]["name"],
        n_images,
        config["pool"],
        datamodule.batch_size,
        f"probed on {len(probe.dataset)} labelled ones" if probe else "no probe",
        datamodule.prepared.split_hash[:12],
    )
