"""One pretraining run, from a resolved config to a backbone that fine-tuning starts from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from skinlab.callbacks.assembly import build_pretraining_callbacks
from skinlab.callbacks.probe import Probe
from skinlab.data.datamodule import SkinDataModule
from skinlab.data.dataset import Batch, ImageDataset
from skinlab.errors import UserError
from skinlab.evaluation.probing import group_folds, stratified
from skinlab.runtime.consistency import cautions, check_consistency
from skinlab.runtime.enduring_loggers import EnduringWandbLogger
from skinlab.runtime.fitting import claimed, trainer_of, training_limits, write_setup
from skinlab.runtime.loggers import check_loggers
from skinlab.runtime.parts import build_datamodule, build_pretrainer, trainer_arguments
from skinlab.runtime.pretraining_outcome import print_outcome, write_outcome
from skinlab.runtime.resuming import find_pretraining, finished_metrics, is_main_process, recorded_config
from skinlab.runtime.run_directory import writing_results
from skinlab.selfsup.methods import check_batch, needed_views

log = logging.getLogger(__name__)

# What the groups that skinlab.train shares hold for it alone, and the value at which it changes nothing.
TRAINING_ONLY: dict[str, dict[str, Any]] = {
    "model": {"head": "linear", "ema_decay": 0.0, "freeze_epochs": 0},
    "augment": {"mixup": 0.0, "cutmix": 0.0},
}


def pretrain(config: dict[str, Any]) -> float:
    """Pretrain, then write the backbone of the best epoch.

    Args:
        config: the resolved config of ``conf/pretrain.yaml``.

    Returns:
        The best value of the monitored metric, whose direction is ``best/mode`` of ``metrics.json``.

    Raises:
        UserError: whatever a person must mend; all that can be known is known before anything is written.
    """
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
    if "views" not in config["augment"]:
        raise UserError("this augment= makes no views for a pretraining; set augment=ssl_derm or augment=ssl_default")
    probe = config["probe"]
    if probe["every_n_epochs"] < 0 or probe["max_images"] < 2:
        raise UserError(
            f"probe.every_n_epochs={probe['every_n_epochs']}, probe.max_images={probe['max_images']}: "
            "at least 0 (never) and at least 2 are expected"
        )
    check_batch(config["ssl"]["name"], config["data"]["batch_size"])


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
    with trainer_of(config, run_dir, callbacks, settings, checkpoint) as trainer:
        if config["model"]["compile"]:
            pretrainer.backbone.compile()
        trainer.fit(pretrainer, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        if not trainer.is_global_zero:
            return {"best/monitor": 0.0}
        facts = start | {"precision": str(trainer.precision)} | training_limits(trainer)
        with writing_results(run_dir):
            metrics = write_outcome(run_dir, config, datamodule, pretrainer, facts)
            for logger in trainer.loggers:
                if isinstance(logger, EnduringWandbLogger):
                    logger.log_summary(metrics)
        return metrics


class PretrainingData(pl.LightningDataModule):
    """Serves the views that a method wants of the images it may see.

    Args:
        datamodule: reads the images.
        config: of the run.
    """

    def __init__(self, datamodule: SkinDataModule, config: dict[str, Any]) -> None:
        super().__init__()
        method, augment = dict(config["ssl"]), config["augment"]
        n_large, n_small = needed_views(method.pop("name"), method)
        if (asked := augment["views"]["n_small"]) not in (0, n_small):
            raise UserError(
                f"augment.views.n_small={asked}: ssl={config['ssl']['name']} takes {n_small} small views; leave it out"
            )
        if augment["lesion_pairs"] > 0 and n_large < 2:
            raise UserError(
                f"augment.lesion_pairs={augment['lesion_pairs']}: ssl={config['ssl']['name']} takes one view, "
                "which has no pair; set it to 0"
            )
        self.datamodule, self.pool = datamodule, config["pool"]
        self.views = {
            **augment["views"],
            "n_large": n_large,
            "n_small": n_small,
            "lesion_pairs": augment["lesion_pairs"],
        }

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return batches of views, this process's share of them."""
        self.datamodule.trainer = self.trainer
        return self.datamodule.pretrain_loader(self.pool, **self.views)


def build_probe(config: dict[str, Any], datamodule: SkinDataModule) -> Probe | None:
    """Build the probe on labelled training images; None where there are none, or no probe is wanted.

    Raises:
        UserError: they are all of one class, or of one group.
    """
    rows, settings = datamodule.rows("train"), config["probe"]
    if settings["every_n_epochs"] == 0 or rows.empty:
        return None
    target = datamodule.dataset("train", plain=True).targets.numpy()
    chosen = stratified(target, settings["max_images"])
    rows, target = rows.iloc[chosen], target[chosen]
    try:
        group_folds(target, rows["group"])
    except ValueError as error:
        raise UserError(
            f"{error}, here are {len(rows)} images of {rows['label'].nunique()} class(es) and "
            f"{rows['group'].nunique()} group(s); label others, or go without: probe.every_n_epochs=0"
        ) from None
    dataset = ImageDataset(rows["path"].tolist(), target, size=datamodule.image_size, fit=datamodule.fit)
    return Probe(
        dataset,
        rows["group"].tolist(),
        len(datamodule.prepared.classes),
        every_n_epochs=settings["every_n_epochs"],
        num_workers=datamodule.num_workers,
    )


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
