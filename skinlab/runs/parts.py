"""The parts of a training or pretraining run, built from its config and checked before anything is written."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skinlab.data.datamodule import SkinDataModule
from skinlab.data.preparation import PREPARATION
from skinlab.errors import UserError
from skinlab.models.backbone import check_network, initialise, is_fixed_size, normalisation
from skinlab.models.classifier import Classifier
from skinlab.models.optim import build_optimizer
from skinlab.runs.backbone_record import find_init
from skinlab.runs.hardware import choose_precision, keep_freed_memory, uses_gpu
from skinlab.runs.provenance import check_seen, past_of
from skinlab.runs.semisupervision import build_strategy, pool_settings
from skinlab.selfsup.methods import check_batch, needed_views
from skinlab.selfsup.pretrainer import Pretrainer
from skinlab.settings.part import build

# What of the config's ``data`` group the data module takes; the rest are settings of its reader.
DATA_SETTINGS = [
    *("_target_", "reader", "image_size", "fit", "batch_size", "num_workers", "cache", "cache_dir"),
    *PREPARATION,
]


def build_datamodule(config: dict[str, Any], **more: Any) -> SkinDataModule:
    """Build the data of a config, with its augmentation or views, and the sampler's power where there is one.

    Args:
        config: of the run.
        **more: further arguments of the data module.
    """
    data = {key: config["data"][key] for key in DATA_SETTINGS}
    data["positive"] = data["positive"] or (config.get("evidence") or {}).get("positive")
    if "sampler" in config:
        more["power"] = config["sampler"]["power"]
    if "semi" in config:
        more |= pool_settings(config)
    transform = config["views" if "views" in config else "augment"]["transform"]
    datamodule: SkinDataModule = build(data, transform=transform, seed=config["seed"], **more)
    return datamodule


def build_classifier(config: dict[str, Any], datamodule: SkinDataModule) -> tuple[Classifier, dict[str, Any]]:
    """Build the network with its first weights, its loss and its settings.

    Returns:
        The module, and the facts of its first weights, see :func:`start_from`.
    """
    model, classes = config["model"], datamodule.prepared.classes
    _refuse_unordered_lists(config, classes)
    network, tried = check_network(
        {key: model[key] for key in ("name", "dropout", "head")},
        len(classes),
        image_size=datamodule.image_size,
        batch_size=smallest_batch(datamodule),
        frozen=model["freeze_epochs"] >= config["trainer"]["max_epochs"],
    )
    loss: nn.Module = build(
        config["loss"], class_counts=config["loss"].get("class_counts") or datamodule.class_counts()
    )
    classifier = Classifier(
        network=network,
        classes=classes,
        inputs=model_inputs(tried, datamodule),
        optimizer=config["optimizer"],
        scheduler=config["scheduler"],
        training_prior=datamodule.training_prior(),
        positive=datamodule.prepared.positive,
        mixup=config["augment"]["mixup"],
        cutmix=config["augment"]["cutmix"],
        seed=config["seed"],
        loss=loss,
        semi=build_strategy(config, datamodule),
    )
    build_optimizer(classifier.network, config["optimizer"])  # refuses now what it would refuse after the first audit
    return classifier, start_from(model, classifier.network, datamodule, network.get("image_size"))


def _refuse_unordered_lists(config: dict[str, Any], classes: list[str]) -> None:
    """Refuse a loss with a number a class where the classes stand in an order that the user may not expect."""
    lists = [name for name, value in config["loss"].items() if isinstance(value, list)]
    if lists and config["data"]["classes"] is None and classes != sorted(classes):
        order = ",".join(classes)
        raise UserError(
            f"loss.{lists[0]}={config['loss'][lists[0]]}: the classes stand in the order {order}, the positive one "
            f"last; say that the list does, too: data.classes=[{order}]"
        )


def build_pretrainer(config: dict[str, Any], datamodule: SkinDataModule) -> tuple[Pretrainer, dict[str, Any]]:
    """Build the method with the first weights of its backbone.

    Returns:
        The module, and the facts of its first weights, see :func:`start_from`.
    """
    network, tried = check_network(
        {"name": config["model"]["name"]},
        0,
        image_size=datamodule.image_size,
        batch_size=datamodule.batch_size,
    )
    check_batch(config["ssl"], datamodule.batch_size)
    if is_fixed_size(tried) and needed_views(config["ssl"])[1]:
        raise UserError(f"model.name={network['name']} takes images of one size; set ssl.local_views=0, or take a CNN")
    pretrainer = Pretrainer(
        network=network,
        method=config["ssl"],
        inputs=model_inputs(tried, datamodule),
        optimizer=config["optimizer"],
        scheduler=config["scheduler"],
        seed=config["seed"],
    )
    return pretrainer, start_from(config["model"], pretrainer.backbone, datamodule, network.get("image_size"))


def smallest_batch(datamodule: SkinDataModule) -> int:
    """Return the number of images in the smallest training batch: an incomplete one is only used if it is the only."""
    return max(1, min(datamodule.batch_size, len(datamodule.rows("train"))))


def model_inputs(network: nn.Module, datamodule: SkinDataModule) -> dict[str, Any]:
    """Return what a module must know of its images: size, fit, and mean and std of the network's ImageNet weights."""
    mean, std = normalisation(network)
    return {"image_size": datamodule.image_size, "fit": datamodule.fit, "mean": list(mean), "std": list(std)}


def start_from(
    model: dict[str, Any], network: nn.Module, datamodule: SkinDataModule, image_size: int | None = None
) -> dict[str, Any]:
    """Load the first weights of a network, unless they have seen what the run is to be judged by.

    Args:
        model: the config's ``model`` group.
        network: takes the weights.
        datamodule: of the run.
        image_size: that the network is built for, if it is not its own.

    Returns:
        ``init_used``, and where it is known what they have seen ``init_saw_val`` and ``init_saw_test``.

    Raises:
        UserError: there are no such weights, they don't fit, or they have seen too much.
    """
    init = find_init(str(model["init"]))
    past = past_of(init, datamodule.cache_dir)
    used = initialise(network, model["name"], init, made_for=past.get("network"), image_size=image_size)
    seen = check_seen(str(model["init"]), past, datamodule.prepared, allow_seen=model["allow_seen"])
    return {"init_used": f"{used} ({past['method']})" if "network" in past else used} | seen


def trainer_arguments(config: dict[str, Any], network: nn.Module, *, leaves_unused: bool = False) -> dict[str, Any]:
    """Return the arguments of the Trainer, ``auto`` precision resolved.

    Args:
        config: of the run.
        network: decides the precision.
        leaves_unused: whether some parameters get no gradient in some steps.

    Raises:
        UserError: a setting out of range.
    """
    settings = dict(config["trainer"])
    settings["precision"] = choose_precision(str(settings["precision"]), settings["accelerator"], network)
    if leaves_unused and settings["strategy"] == "ddp":
        settings["strategy"] = "ddp_find_unused_parameters_true"
    if not uses_gpu(settings["accelerator"]):
        settings["sync_batchnorm"] = False  # torch has it on GPUs only
        keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    # Deterministic algorithms need no memory filled that is written before it is read; filling it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return settings
