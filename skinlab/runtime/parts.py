"""The parts of a training run, built from its config and checked before anything is written."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skinlab.data.datamodule import SkinDataModule
from skinlab.data.preparation import PREPARATION
from skinlab.errors import UserError
from skinlab.models.backbone import build_network, initialise, normalisation
from skinlab.models.classifier import Classifier
from skinlab.models.optim import build_optimizer
from skinlab.runtime.config import build
from skinlab.runtime.hardware import choose_precision, keep_freed_memory, uses_gpu

# What of the config's ``data`` group the data module takes; the rest are settings of its reader.
DATA_SETTINGS = [
    *("_target_", "reader", "image_size", "fit", "batch_size", "num_workers", "cache", "cache_dir"),
    *PREPARATION,
]


def build_datamodule(config: dict[str, Any]) -> SkinDataModule:
    """Build the data of a config: the chosen set, the sampler's power and the augmentation."""
    data = {key: config["data"][key] for key in DATA_SETTINGS}
    datamodule: SkinDataModule = build(
        data,
        power=config["sampler"]["power"],
        transform=config["augment"]["transform"],
        seed=config["seed"],
    )
    return datamodule


def build_classifier(config: dict[str, Any], datamodule: SkinDataModule) -> tuple[Classifier, str]:
    """Build the network with its first weights, its loss and its settings.

    Returns:
        The module, and what its weights come from (``init_used``).
    """
    model, classes = config["model"], datamodule.prepared.classes
    network = {key: model[key] for key in ("name", "dropout", "head")}
    mean, std = normalisation(build_network(num_classes=len(classes), **network))
    loss: nn.Module = build(
        config["loss"], class_counts=config["loss"].get("class_counts") or datamodule.class_counts()
    )
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
    build_optimizer(classifier.network, config["optimizer"])  # refuses now what it would refuse after the first audit
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
    if not uses_gpu(settings["accelerator"]):
        settings["sync_batchnorm"] = False  # torch has it on GPUs only
        keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    # Deterministic algorithms need no memory filled that is written before it is read; filling it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return settings
