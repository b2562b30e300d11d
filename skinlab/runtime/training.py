"""One training run, from a resolved config to predictions and figures in the run directory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from torch import nn

from skinlab.callbacks.assembly import build_callbacks
from skinlab.callbacks.safety import WholeCheckpointIO
from skinlab.data.datamodule import SkinDataModule
from skinlab.errors import UserError
from skinlab.models.backbone import build_network, initialise, normalisation
from skinlab.models.classifier import Classifier
from skinlab.report.terminal import print_results
from skinlab.runtime.hardware import choose_precision
from skinlab.runtime.loggers import close_loggers, open_loggers
from skinlab.runtime.outcome import write_outcome
from skinlab.runtime.run_directory import claim, write_json, write_text
from skinlab.runtime.resuming import finished_metrics, find_resume, is_main_process, recorded_config

log = logging.getLogger(__name__)


def train(config: dict[str, Any]) -> float:
    """Train, then score the best checkpoint on val and test.

    Args:
        config: the resolved config of ``conf/train.yaml``.

    Returns:
        The best value of the monitored figure, for sweepers.
    """
    run_dir = Path(HydraConfig.get().runtime.output_dir)
    loss_name = HydraConfig.get().runtime.choices["loss"]
    lock = claim(run_dir) if is_main_process() else None
    try:
        return _train(config, run_dir, loss_name)
    finally:
        if lock is not None:
            lock.close()


def _train(config: dict[str, Any], run_dir: Path, loss_name: str) -> float:
    config = recorded_config(config, run_dir)
    if metrics := finished_metrics(config, run_dir):
        log.info("%s is finished; raise trainer.max_epochs to go on, or choose another hydra.run.dir", run_dir)
        print_results(metrics, run_dir)
        return metrics["best/monitor"]
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    datamodule = build_datamodule(config)
    prepared = datamodule.prepared
    classifier, init_used = build_classifier(config, datamodule)
    _announce(config, loss_name, datamodule, classifier.loss)
    checkpoint = find_resume(config["resume"], run_dir, prepared.classes)
    trainer_settings = trainer_arguments(config, classifier.network)
    if is_main_process():
        write_json(run_dir / "audit.json", prepared.audit | {"split_sha256": prepared.split_hash})
        write_text(run_dir / "split.csv", prepared.manifest.to_csv(index=False))
        write_text(run_dir / "config.yaml", _yaml(config))
    loggers = open_loggers(config["logger"], run_dir, config, resumed=checkpoint is not None)
    try:
        trainer = pl.Trainer(
            logger=loggers,
            callbacks=build_callbacks(config, run_dir, prepared.classes),
            plugins=[WholeCheckpointIO()],
            use_distributed_sampler=False,
            default_root_dir=run_dir,
            enable_model_summary=False,
            enable_progress_bar=config["callbacks"]["progress"],
            num_sanity_val_steps=0,
            **trainer_settings,
        )
        if config["model"]["compile"]:
            classifier.network.compile()
        trainer.fit(classifier, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        if not trainer.is_global_zero:
            return 0.0
        facts = {"init_used": init_used, "precision": str(trainer.precision), "loss": loss_name}
        metrics = write_outcome(run_dir, datamodule, config, facts)
        for logger in loggers:
            logger.log_metrics({name: v for name, v in metrics.items() if isinstance(v, (int, float))}, trainer.global_step)
        print_results(metrics, run_dir)
        return float(metrics["best/monitor"])
    finally:
        close_loggers(loggers)


def build_datamodule(config: dict[str, Any]) -> SkinDataModule:
    """Build the data of a config: the chosen set, the sampler's power and the augmentation."""
    data = {key: value for key, value in config["data"].items() if key in _DATA_KEYS}
    datamodule: SkinDataModule = instantiate(
        data,
        power=config["sampler"]["power"],
        transform=config["augment"]["transform"],
        seed=config["seed"],
    )
    return datamodule


_DATA_KEYS = (
    "_target_ reader label_map classes image_size fit fold n_folds test_fraction split_seed on_bad_image "
    "batch_size num_workers cache cache_dir"
).split()


def build_classifier(config: dict[str, Any], datamodule: SkinDataModule) -> tuple[Classifier, str]:
    """Build the network with its first weights, its loss and its settings.

    Returns:
        The module, and what its weights come from (``init_used``).
    """
    model, classes = config["model"], datamodule.prepared.classes
    network = {key: model[key] for key in ("name", "dropout", "head")}
    mean, std = normalisation(build_network(num_classes=len(classes), **network))
    loss: nn.Module = instantiate(config["loss"], class_counts=config["loss"].get("class_counts") or datamodule.class_counts())
    classifier = Classifier(
        network=network,
        classes=classes,
        inputs={"image_size": datamodule.image_size, "fit": datamodule.fit, "mean": list(mean), "std": list(std)},
        optimizer=config["optimizer"],
        scheduler=config["scheduler"],
        training_prior=datamodule.training_prior(),
        mixup=config["augment"]["mixup"],
        cutmix=config["augment"]["cutmix"],
        seed=config["seed"],
        loss=loss,
    )
    return classifier, initialise(classifier.network, model["name"], str(model["init"]))


def trainer_arguments(config: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    """Return the arguments of the Trainer, ``auto`` precision resolved.

    Raises:
        UserError: a setting out of range.
    """
    settings = dict(config["trainer"])
    if settings["max_epochs"] < 1:
        raise UserError(f"trainer.max_epochs={settings['max_epochs']}: must be at least 1")
    settings["precision"] = choose_precision(str(settings["precision"]), settings["accelerator"], network)
    if config["model"]["freeze_epochs"] > 0 and settings["strategy"] == "ddp":
        settings["strategy"] = "ddp_find_unused_parameters_true"
    torch.set_float32_matmul_precision("high")
    return settings


def _announce(config: dict[str, Any], loss_name: str, datamodule: SkinDataModule, loss: nn.Module) -> None:
    """Say what a person should know before the first epoch."""
    if config["sampler"]["power"] > 0 and getattr(loss, "corrects_imbalance", False):
        log.warning(
            "loss=%s on top of sampler.power=%g corrects the class skew twice and spoils calibration; choose one",
            loss_name,
            config["sampler"]["power"],
        )
    if config["data"]["name"] == "phantom":
        log.info(
            "data=phantom: procedural images, for trying things out. For real ones: "
            "data=ham10000 data.root=DIR (see the README for where to get them)"
        )
    rows = {split: len(datamodule.rows(split)) for split in ("train", "val", "test", "pool")}
    log.info(
        "%s: %s; %d classes, training counts %s; split %s",
        config["data"]["name"],
        ", ".join(f"{n} {split}" for split, n in rows.items() if n),
        len(datamodule.prepared.classes),
        dict(zip(datamodule.prepared.classes, datamodule.class_counts(), strict=True)),
        datamodule.prepared.split_hash[:12],
    )


def _yaml(config: dict[str, Any]) -> str:
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config))
