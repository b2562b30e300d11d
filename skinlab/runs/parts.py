"""Build and check the parts of a training or pretraining run before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from skinlab.data.datamodule import SkinDataModule
from skinlab.data.preparation import PREPARATION
from skinlab.errors import UserError
from skinlab.models.backbone import check_network, initialise, is_fixed_size, normalisation
from skinlab.models.classifier import Classifier
from skinlab.models.optim import build_optimizer
from skinlab.models.weight_facts import WeightFacts, read_weight_facts
from skinlab.models.weights import read_checkpoint
from skinlab.runs.backbone_record import find_init
from skinlab.runs.hardware import choose_precision, keep_freed_memory, uses_gpu
from skinlab.runs.initial_weights import licence_of, weights_name
from skinlab.runs.provenance import NAMES, InitFacts, check_training_images, weight_provenance
from skinlab.runs.ranks import cluster_environment, process_arguments
from skinlab.runs.replicas import ReplicaStrategy
from skinlab.runs.semisupervision import build_strategy, pool_settings
from skinlab.runs.sharding import FullyShardedStrategy
from skinlab.selfsup.methods import needed_views
from skinlab.selfsup.pretrainer import Pretrainer
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.groups import TrainerSettings
from skinlab.settings.part import build
from skinlab.settings.run import RunSettings

# The settings of ``data`` that the data module takes; the rest are arguments of its reader.
DATA_SETTINGS = [
    *("_target_", "reader", "image_size", "fit", "batch_size", "num_workers", "cache", "cache_dir"),
    *PREPARATION,
]


def build_datamodule(settings: RunSettings) -> SkinDataModule:
    """Build the data of a run, with its augmentation or views, and for a training its sampler and the pool's part."""
    data = {key: value for key, value in settings.data.dump().items() if key in DATA_SETTINGS}
    more: dict[str, Any] = {"seed": settings.seed}
    if isinstance(settings, TrainSettings):
        evidence = settings.evidence
        data["positive"] = data["positive"] or (evidence.positive if evidence else None)
        more |= settings.sampler.dump() | {"transform": settings.augment.transform.dump()}
        more |= {"domain": settings.find("loss.domain")}
        more |= pool_settings(settings.semi)
    if isinstance(settings, PretrainSettings):
        more |= {"transform": settings.views.transform.dump(), "unlabeled_ok": True}
    datamodule: SkinDataModule = build(data, **more)
    return datamodule


def build_classifier(settings: TrainSettings, datamodule: SkinDataModule) -> tuple[Classifier, InitFacts]:
    """Build the network with its initial weights, its loss and its settings.

    Returns:
        The module, and the facts of its initial weights, see :func:`start_from`.
    """
    model, classes = settings.model, datamodule.prepared.classes
    _refuse_unordered_lists(settings, classes)
    network, tried = check_network(
        {"name": model.name, "dropout": model.dropout, "head": model.head},
        len(classes),
        image_size=datamodule.image_size,
        batch_size=smallest_batch(datamodule),
        frozen=model.freeze_epochs >= settings.trainer.max_epochs,
    )
    counts = settings.find("loss.class_counts") or datamodule.class_counts()
    groups = {"group_counts": datamodule.group_counts()} if datamodule.domain else {}
    loss: nn.Module = build(settings.loss, class_counts=counts, **groups)
    optimizer = settings.optimizer.dump()
    classifier = Classifier(
        network=network,
        classes=classes,
        inputs=model_inputs(tried, datamodule, settings),
        optimizer=optimizer,
        scheduler=settings.scheduler.dump(),
        training_prior=datamodule.training_prior(),
        positive=datamodule.prepared.positive,
        mixup=settings.augment.mixup,
        cutmix=settings.augment.cutmix,
        amplitude_mix=settings.augment.amplitude_mix,
        seed=settings.seed,
        loss=loss,
        semi=build_strategy(settings.semi, datamodule),
    )
    build_optimizer(classifier.network, optimizer)  # refuses now what it would refuse after the first audit
    start = start_from(settings, classifier.network, datamodule, network.get("image_size"))
    classifier.hparams["licence"] = start.get("init_licence")
    return classifier, start


def _refuse_unordered_lists(settings: TrainSettings, classes: list[str]) -> None:
    """Refuse a loss with a number a class where the classes stand in an order that the user may not expect."""
    lists = {name: value for name, value in settings.loss.dump().items() if isinstance(value, list)}
    if lists and settings.data.classes is None and classes != sorted(classes):
        order, (name, value) = ",".join(classes), next(iter(lists.items()))
        raise UserError(
            f"loss.{name}={value}: the classes are in the order {order}, the positive one last; confirm that the "
            f"list does, too: 'data.classes=[{order}]'"
        )


def build_pretrainer(settings: PretrainSettings, datamodule: SkinDataModule) -> tuple[Pretrainer, InitFacts]:
    """Build the method with the initial weights of its backbone.

    Returns:
        The module, and the facts of its initial weights, see :func:`start_from`.
    """
    method = settings.ssl.dump()
    network, tried = check_network(
        {"name": settings.model.name}, 0, image_size=datamodule.image_size, batch_size=datamodule.batch_size
    )
    if is_fixed_size(tried) and needed_views(method)[1]:
        raise UserError(
            f"model.name={network['name']} takes images of one size; set ssl.local_views=0, or choose a CNN"
        )
    pretrainer = Pretrainer(
        network=network,
        method=method,
        inputs=model_inputs(tried, datamodule, settings),
        optimizer=settings.optimizer.dump(),
        scheduler=settings.scheduler.dump(),
        seed=settings.seed,
    )
    return pretrainer, start_from(settings, pretrainer.backbone, datamodule, network.get("image_size"))


def smallest_batch(datamodule: SkinDataModule) -> int:
    """Return the number of images in the smallest training batch; an incomplete batch is dropped unless it is alone."""
    return max(1, min(datamodule.batch_size, len(datamodule.rows("train"))))


def model_inputs(network: nn.Module, datamodule: SkinDataModule, settings: RunSettings) -> dict[str, Any]:
    """Return the input format of a module: image size, fit, colour constancy, mean and std of its initial weights.

    A file's own mean and std are used where it records them, otherwise those of the network's ImageNet weights.

    Raises:
        UserError: the initial weights were trained with a colour constancy that this run does not have.
    """
    init, constancy = find_init(settings.model.init, settings.data.fold), settings.data.colour_constancy
    facts = WeightFacts() if init in NAMES else read_weight_facts(Path(init).expanduser())
    if facts.colour_constancy not in ("none", constancy):
        raise UserError(
            f"model.init={settings.model.init}: trained with data.colour_constancy={facts.colour_constancy}, which "
            f"these weights need: set it here, too, instead of {constancy}"
        )
    mean, std = (facts.mean, facts.std) if facts.mean and facts.std else normalisation(network)
    size = {"image_size": datamodule.image_size, "fit": datamodule.fit}
    return size | {"mean": list(mean), "std": list(std), "colour_constancy": constancy}


def start_from(
    settings: RunSettings, network: nn.Module, datamodule: SkinDataModule, image_size: int | None = None
) -> InitFacts:
    """Load the initial weights of a network.

    Args:
        settings: of the run.
        network: takes the weights.
        datamodule: of the run.
        image_size: that the network is built for, if it is not its own.

    Returns:
        What is recorded of these weights.

    Raises:
        UserError: there are no such weights, they don't fit, or they were trained on validation or test images.
    """
    model = settings.model
    init = find_init(model.init, settings.data.fold)
    provenance = weight_provenance(init, datamodule.cache_dir)
    if model.keep_head:
        _check_head(init, datamodule.prepared.classes)
    used = initialise(
        *(network, model.name, init),
        made_for=provenance.get("network"),
        image_size=image_size,
        keep_head=model.keep_head,
    )
    seen = check_training_images(
        model.init, provenance, datamodule.prepared, allow_seen=model.allow_seen, data=settings.data.name
    )
    method = f" ({provenance['method']})" if "network" in provenance else ""
    facts: InitFacts = {"init_used": weights_name(model.init, used) + method, **seen}
    if licence := licence_of(model.name, used):
        facts["init_licence"] = licence
    return facts


def _check_head(init: str, classes: list[str]) -> None:
    """Refuse to keep the head of weights that are not those of a run of these classes."""
    checkpoint = init not in NAMES and Path(init).suffix == ".ckpt"
    theirs = read_checkpoint(Path(init).expanduser()).get("hyper_parameters", {}).get("classes") if checkpoint else None
    if theirs is None:
        raise UserError(f"model.keep_head=true: {init} has no head; set model.init to a run of skinlab.train")
    if theirs != classes:
        raise UserError(
            f"model.keep_head=true: the head of {init} is of the classes {','.join(theirs)}, the data has "
            f"{','.join(classes)}; name them as the run does, data.label_map={{theirs: the run's}}, and set "
            f"'data.classes=[{','.join(theirs)}]'"
        )


def trainer_arguments(trainer: TrainerSettings, network: nn.Module, *, leaves_unused: bool = False) -> dict[str, Any]:
    """Return the arguments of the Trainer, ``auto`` precision resolved.

    Args:
        trainer: of the run.
        network: decides the precision.
        leaves_unused: whether some parameters get no gradient in some steps.

    Raises:
        UserError: there is no such device, or ``trainer=fsdp`` does not have the precision.
    """
    arguments = {key: value for key, value in trainer.dump().items() if key not in ("cluster", "requeue_signal")}
    arguments |= process_arguments(trainer) | {"plugins": cluster_environment(trainer)}
    arguments["precision"] = choose_precision(str(trainer.precision), trainer.accelerator, network)
    if trainer.strategy == "ddp":
        arguments["strategy"] = ReplicaStrategy(find_unused_parameters=leaves_unused, gradient_as_bucket_view=True)
    if trainer.strategy == "fsdp":
        if arguments["precision"] in ("16-mixed", "16", 16):
            raise UserError("trainer=fsdp has no loss scaling for 16-mixed: set trainer.precision=32-true")
        arguments["strategy"] = FullyShardedStrategy()
    if not uses_gpu(trainer.accelerator):
        arguments["sync_batchnorm"] = False  # torch has it on GPUs only
        keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    # Deterministic algorithms need no memory filled that is written before it is read; filling it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return arguments
