"""The trainings of a leak meter, by Lightning as all others: only their predictions are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch

from skinlab.callbacks.safety import FiniteLoss
from skinlab.data.datamodule import SkinDataModule
from skinlab.data.preparation import Prepared
from skinlab.evaluation.metrics.scorer import classification_metrics
from skinlab.evaluation.predictions import as_written, predictions_table, table_arrays
from skinlab.leaks.plan import BY_TEST, LEAKED, TEST, VAL, Training
from skinlab.models.backbone import head_parameters, load_weights
from skinlab.models.prediction import predict_probabilities
from skinlab.processes.progress import Progress
from skinlab.runs.compilation import compile_network
from skinlab.runs.fitting import fit
from skinlab.runs.parts import build_classifier, build_datamodule, build_pretrainer, trainer_arguments
from skinlab.runs.pretraining_data import PretrainingData
from skinlab.settings.commands.pretrain import PretrainSettings
from skinlab.settings.commands.train import TrainSettings
from skinlab.settings.run import RunSettings

CHOSEN_BY = "balanced_accuracy"  # the epoch
VIEWS = 2  # of an image in a step of SimCLR


@dataclass(frozen=True)
class Recipes:
    """The settings of the trainings and of the pretrainings, in all but their seed."""

    train: TrainSettings
    pretrain: PretrainSettings

    def images(self, training: Training) -> int:
        """Return the images that pass through the network in a training."""
        n = int((training.manifest["split"] == "train").sum())
        views = 0 if training.pretraining is None else VIEWS * self.pretrain.trainer.max_epochs
        return n * (self.train.trainer.max_epochs + views)


def run_training(
    training: Training, recipes: Recipes, prepared: Prepared, seed: int, progress: Progress
) -> Mapping[str, pd.DataFrame]:
    """Train from the same initial weights as every training of this seed, and return the tables of predictions.

    Args:
        training: of the plan.
        recipes: settings.
        prepared: the audited data.
        seed: of the training.
        progress: counts the images that pass through the network.

    Raises:
        UserError: a setting is wrong, or the loss is not finite.
    """
    settings = recipes.train.updated({"seed": seed})
    datamodule = _datamodule(settings, prepared, training.manifest)
    classifier, _ = build_classifier(settings, datamodule)
    if training.pretraining is not None:
        progress.advance(0, f"{progress.title}, pretraining")
        backbone = _pretrain(recipes.pretrain.updated({"seed": seed}), prepared, training.pretraining, progress)
        load_weights(classifier.network, backbone, head_parameters(classifier.network), "the pretraining")
    pl.seed_everything(seed, workers=True, verbose=False)
    kept = EpochPredictions(datamodule)
    arguments = trainer_arguments(settings.trainer, classifier.network)
    n_batches = len(datamodule.rows("train")) // datamodule.batch_size
    compile_network(settings, classifier.network, precision=arguments["precision"], n_batches=n_batches)
    fit(settings, classifier, datamodule, [FiniteLoss(), CountImages(progress), kept], [], arguments, None)
    return {name: kept.tables[name] for name in training.keeps}


def _pretrain(
    settings: PretrainSettings, prepared: Prepared, manifest: pd.DataFrame, progress: Progress
) -> Mapping[str, torch.Tensor]:
    """Return the weights of a backbone after a pretraining."""
    datamodule = _datamodule(settings, prepared, manifest)
    pretrainer, _ = build_pretrainer(settings, datamodule)
    data = PretrainingData(datamodule, settings)
    arguments = trainer_arguments(settings.trainer, pretrainer.backbone)
    n_batches = data.views_per_epoch // datamodule.batch_size
    compile_network(settings, pretrainer.backbone, precision=arguments["precision"], n_batches=n_batches)
    fit(settings, pretrainer, data, [FiniteLoss(), CountImages(progress, VIEWS)], [], arguments, None)
    return pretrainer.backbone.state_dict()


def _datamodule(settings: RunSettings, prepared: Prepared, manifest: pd.DataFrame) -> SkinDataModule:
    """Return the data of a training with another manifest, after seeding what is random in building the rest."""
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    datamodule = build_datamodule(settings)
    hashes = {each: prepared.image_hashes[each.removeprefix(LEAKED)] for each in manifest["image_id"]}
    datamodule.prepared = replace(prepared, manifest=manifest, image_hashes=hashes, copies=prepared.copies[:0])
    return datamodule


class CountImages(pl.Callback):
    """Counts the images that pass through the network.

    Args:
        progress: of all trainings.
        views: of an image in a step.
    """

    def __init__(self, progress: Progress, views: int = 1) -> None:
        self.progress, self.views = progress, views

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a batch."""
        self.progress.advance(self.views * len(batch["row"]))


class EpochPredictions(pl.Callback):
    """Keeps the predictions of the epoch that validation chooses, and those of the epoch that the test would choose.

    Args:
        datamodule: of the training.
    """

    def __init__(self, datamodule: SkinDataModule) -> None:
        self.datamodule = datamodule
        self.tables: dict[str, pd.DataFrame] = {}
        self.best = {VAL: -1.0, TEST: -1.0}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict validation and test images, and keep the tables that are better than those of earlier epochs."""
        tables = {split: self._predict(pl_module, split) for split in (VAL, TEST)}
        better = []
        for split, table in tables.items():
            value = classification_metrics(*table_arrays(table), names=[CHOSEN_BY])[CHOSEN_BY]
            if value > self.best[split]:
                self.best[split] = value
                better.append(split)
        if VAL in better:
            self.tables |= tables
        if TEST in better:
            self.tables[BY_TEST] = tables[TEST]

    def _predict(self, network: pl.LightningModule, split: str) -> pd.DataFrame:
        batches = self.datamodule.inference_loader(split)
        probabilities = predict_probabilities(network, batches, device=network.device)
        return predictions_table(
            self.datamodule.rows(split), as_written(probabilities), self.datamodule.prepared.classes
        )
