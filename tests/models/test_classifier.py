"""The classifier with a semi-supervised strategy: what is validated and kept, and that a resumed run is the same."""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from skinlab.errors import UserError
from skinlab.inference.bundle import load_bundle
from skinlab.models.classifier import Classifier
from skinlab.models.strategy import Strategy
from skinlab.semisup.fixmatch import FixMatch
from skinlab.semisup.mean_teacher import MeanTeacher
from skinlab.semisup.mixmatch import MixMatch

PRIOR = [0.7, 0.3]
STRATEGIES = {
    "fixmatch": lambda: FixMatch(PRIOR, threshold=0.5, least_threshold=0.5, ramp_share=0.5),
    "mixmatch": lambda: MixMatch(PRIOR),
    "mean_teacher": lambda: MeanTeacher(decay=0.5),
}


def batches(n: int = 4, size: int = 32) -> list[dict[str, Any]]:
    """Return batches of four labelled and six pool images."""
    draw = torch.Generator().manual_seed(0)

    def images(k: int) -> torch.Tensor:
        return torch.randint(0, 256, (k, 3, size, size), dtype=torch.uint8, generator=draw)

    return [
        {
            "image": images(4),
            "target": torch.tensor([0, 1, 0, 1]),
            "row": torch.arange(4),
            "pool": {"weak": images(6), "strong": images(6), "row": torch.arange(6)},
        }
        for _ in range(n)
    ]


def classifier(semi: Strategy | None = None, **settings: Any) -> Classifier:
    torch.manual_seed(0)
    return Classifier(
        network={"name": "test_resnet", "dropout": 0.0, "head": "linear"},
        classes=["nv", "mel"],
        inputs={"image_size": 32, "fit": "crop", "mean": [0.5] * 3, "std": [0.25] * 3},
        optimizer={"name": "adamw", "lr": 1e-3, "weight_decay": 0.0, "layer_decay": 1.0},
        scheduler={"name": "constant", "warmup_epochs": 0.0, "min_ratio": 0.0},
        training_prior=[0.5, 0.5],
        semi=semi,
        **settings,
    )


def fit(module: Classifier, folder: Path, epochs: int = 2, resume: Path | None = None, **settings: Any) -> pl.Trainer:
    """Train on the batches, validate on one of them, and save ``last.ckpt`` into the folder."""
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **settings,
    )
    loaders = [DataLoader(part, batch_size=None) for part in (batches(), batches(1))]
    trainer.fit(module, *loaders, ckpt_path=resume, weights_only=True)
    trainer.save_checkpoint(folder / "last.ckpt")
    return trainer


def assert_equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


def network_state(module: Classifier) -> dict[str, torch.Tensor]:
    return {name: value for name, value in module.state_dict().items() if name.startswith("network.")}


def test_a_strategy_that_accepts_nothing_changes_nothing(tmp_path):
    alone, together = classifier(), classifier(FixMatch(PRIOR, threshold=1.5))
    for module in (alone, together):
        fit(module, tmp_path)
    assert_equal(network_state(alone), network_state(together))


class Killed(Exception):  # noqa: N818
    """A run's sudden end."""


class KilledAfter(pl.Callback):
    """Saves a checkpoint as ModelCheckpoint does, at an epoch's end, and ends the run in the midst of the next."""

    def __init__(self, epoch: int, path: Path) -> None:
        self.epoch, self.path = epoch, path

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.current_epoch == self.epoch + 1:
            raise Killed


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, name, averaged):
    if averaged and name == "mean_teacher":
        pytest.skip("averages by itself")

    def leg(*more: pl.Callback, resume: Path | None = None) -> Classifier:
        averaging = [EMAWeightAveraging(decay=0.5, use_buffers=True)] if averaged else []
        module = classifier(STRATEGIES[name]())
        # Two batches an optimiser step.
        fit(module, tmp_path, epochs=4, resume=resume, accumulate_grad_batches=2, callbacks=[*averaging, *more])
        return module

    whole, path = leg(), tmp_path / "killed.ckpt"
    with pytest.raises(Killed):
        leg(KilledAfter(1, path))
    assert_equal(leg(resume=path).state_dict(), whole.state_dict())


def test_the_teacher_moves_once_an_optimiser_step(tmp_path):
    module = classifier(MeanTeacher(decay=0.9))
    trainer = fit(module, tmp_path, epochs=3, accumulate_grad_batches=2)
    assert trainer.global_step == 6
    assert int(module.semi.steps) == 6


def test_the_teacher_begins_with_weights_that_were_loaded_since(tmp_path):
    module = classifier(MeanTeacher(decay=1.0))
    with torch.no_grad():
        for parameter in module.network.parameters():
            parameter.add_(1.0)
    fit(module, tmp_path, epochs=0)
    module.semi.start(module.network)
    assert_equal(module.semi.teacher.state_dict(), module.network.state_dict())


def test_the_teacher_is_validated_saved_and_used(tmp_path):
    module = classifier(MeanTeacher(decay=0.9))
    fit(module, tmp_path)
    images = batches(1)[0]["image"]
    module.eval()
    student, taught = module.network(module.normalise(images)), module(images)
    assert not torch.allclose(student, taught)
    assert torch.equal(taught, module.semi.teacher(module.normalise(images)))
    loaded = Classifier.load_from_checkpoint(tmp_path / "last.ckpt").eval()
    assert loaded.semi is None
    assert torch.equal(loaded(images), taught)
    assert torch.equal(load_bundle(tmp_path / "last.ckpt").classifier(images), taught)
    loss = torch.nn.functional.cross_entropy(taught, batches(1)[0]["target"])
    assert module.last_validation["val/loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_checkpoints_are_those_of_any_classifier(tmp_path):
    fit(classifier(), tmp_path)
    plain = torch.load(tmp_path / "last.ckpt", weights_only=True)
    fit(classifier(STRATEGIES["mean_teacher"]()), tmp_path)
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["state_dict"].keys() == plain["state_dict"].keys()
    assert content["hyper_parameters"].keys() == plain["hyper_parameters"].keys()
    assert set(content) - set(plain) == {"semi"}


@pytest.mark.parametrize("before", [None, "mean_teacher"])
def test_another_strategy_s_checkpoint_is_refused(tmp_path, before):
    fit(classifier(STRATEGIES[before]() if before else None), tmp_path)
    with pytest.raises(UserError, match="trained with another semi="):
        fit(classifier(STRATEGIES["fixmatch"]()), tmp_path, epochs=4, resume=tmp_path / "last.ckpt")


@pytest.mark.parametrize("settings", [{"mixup": 0.2}, {"cutmix": 1.0}])
def test_mixing_beside_a_strategy_is_refused(settings):
    with pytest.raises(UserError, match=r"augment\.mixup=.* set both to 0"):
        classifier(STRATEGIES["fixmatch"](), **settings)
