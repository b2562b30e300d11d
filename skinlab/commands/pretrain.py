"""One pretraining run, from its settings to a backbone that fine-tuning starts from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from skinlab.callbacks.assembly import build_pretraining_callbacks
from skinlab.callbacks.probe import Probe
from skinlab.data.datamodule import SkinDataModule
from skinlab.files import is_main_process
from skinlab.runs.compilation import check_compiler, compile_network
from skinlab.runs.consistency import cautions
from skinlab.runs.fitting import OTHER_RANKS, claimed, fit, write_setup
from skinlab.runs.initial_weights import check_init, log_licence
from skinlab.runs.outcome import run_facts
from skinlab.runs.parts import build_datamodule, build_pretrainer, trainer_arguments
from skinlab.runs.pretraining_data import PretrainingData, build_probe
from skinlab.runs.pretraining_outcome import print_outcome, write_outcome
from skinlab.runs.resuming import find_pretraining, finished_metrics, with_run_id
from skinlab.runs.run_directory import writing_results
from skinlab.selfsup.methods import check_batch
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.text import quantity
from skinlab.tracking.loggers import check_loggers, log_summary, run_loggers

log = logging.getLogger(__name__)


def pretrain(settings: PretrainSettings) -> float:
    """Pretrain, then write the backbone of the best epoch.

    Args:
        settings: of the command.

    Returns:
        The best value of the monitored metric, whose direction is ``best/mode`` of ``metrics.json``.

    Raises:
        UserError: whatever has to be corrected; all that can be known is known before anything is written.
    """
    run_dir = Path(settings.run_dir)
    with claimed(run_dir, settings.trainer):
        check_loggers(settings.logger)
        check_batch(settings.ssl.dump(), settings.data.batch_size)
        settings = with_run_id(settings, run_dir)
        metrics = finished_metrics(settings, run_dir) or _pretrain(settings, run_dir)
        if is_main_process():
            print_outcome(metrics, run_dir)
        return float(metrics["best/monitor"])


def _pretrain(settings: PretrainSettings, run_dir: Path) -> dict[str, Any]:
    """Prepare the data, build all parts, fit, write backbone and metrics; return the metrics."""
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    check_init(settings.model, settings.data.fold)  # before all images are read
    check_compiler(settings)
    datamodule = build_datamodule(settings)
    pretrainer, start = build_pretrainer(settings, datamodule)
    data = PretrainingData(datamodule, settings)
    data.train_dataloader()  # refuses now what it would refuse later
    checkpoint = find_pretraining(settings.resume, run_dir, settings.ssl)
    unused = pretrainer.method.leaves_unused
    arguments = trainer_arguments(settings.trainer, pretrainer.backbone, leaves_unused=unused)
    n_batches = data.views_per_epoch // datamodule.batch_size
    precision = arguments["precision"]
    settings = compile_network(settings, pretrainer.backbone, precision=precision, n_batches=n_batches)
    probe = build_probe(settings.probe, datamodule, data.views_per_epoch)
    callbacks = build_pretraining_callbacks(settings, run_dir, probe)
    log_licence(start)
    _announce(settings, datamodule, probe)
    write_setup(run_dir, settings, datamodule.prepared)

    with run_loggers(settings, run_dir, resumed=checkpoint) as loggers:
        trainer = fit(settings, pretrainer, data, callbacks, loggers, arguments, checkpoint)
        if not trainer.is_global_zero:
            return dict(OTHER_RANKS)
        facts = run_facts(settings, trainer, start, datamodule.prepared.split_hash)
        with writing_results(run_dir):
            metrics = write_outcome(run_dir, settings, datamodule, pretrainer, facts)
            log_summary(loggers, metrics)
        return metrics


def _announce(settings: PretrainSettings, datamodule: SkinDataModule, probe: Probe | None) -> None:
    """Log what the user should know before the first epoch."""
    n_images = len(datamodule.pool_rows(settings.pool))
    for line in cautions(settings, n_images // datamodule.batch_size):
        log.warning(line)
    log.info(
        "%s: %s (pool=%s), batches of %d; %s; split %s",
        settings.data.name,
        quantity(n_images, "image"),
        settings.pool,
        datamodule.batch_size,
        f"probed on {len(probe.dataset)} labelled ones" if probe else "no probe",
        datamodule.prepared.split_hash[:12],
    )
