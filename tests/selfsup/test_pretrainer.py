"""What holds for every method: it learns, it is saved whole, it goes on as if it had never stopped."""

import math

import pytest
import pytorch_lightning as pl
import timm
import torch
from safetensors.torch import load_file, save_file

from skinlab.errors import UserError
from skinlab.selfsup.pretrainer import Pretrainer
from tests.choices import read_choice


class Losses(pl.Callback):
    """Keeps the loss of each step."""

    def __init__(self):
        self.values = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.values.append(float(outputs["loss"]))


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_few_steps_on_one_batch_lower_the_loss(name, pretrainer, make_batches, fit):
    losses = Losses()
    module = pretrainer(name)
    trainer = fit(module, make_batches(name, n=1) * 20, callbacks=[losses])
    assert all(math.isfinite(loss) for loss in losses.values)
    # The queue of MoCo starts with random keys, which are easy to tell apart; it is full after three steps.
    first = losses.values[3] if name == "moco" else losses.values[0]
    assert sum(losses.values[-3:]) / 3 < first
    logged = {key for key in trainer.callback_metrics if key.startswith("train/")}
    assert {"train/loss", "train/feature_std", "train/uniformity"} <= logged
    assert ("train/alignment" in logged) == (name != "denoise")
    assert ("train/projection_std" in logged) == (name != "denoise")
    assert module.diagnosis() is None


def test_collapse_is_detected(pretrainer, make_batches, fit):
    """BYOL with neither prediction nor slow teacher, on views that have nothing in common: only collapse agrees."""
    module = pretrainer("byol", momentum=1e-9, lr=1e-2)
    module.method.predict = torch.nn.Identity()
    batches = make_batches("byol", n=8)
    for i, batch in enumerate(batches):
        batch["views"][1] = batches[i - 1]["views"][0]
    losses = Losses()
    fit(module, batches, max_epochs=12, callbacks=[losses])
    assert losses.values[-1] < -0.99
    assert "collapsed" in module.diagnosis()


def test_a_resumed_run_is_the_run_that_never_stopped(name, pretrainer, make_batches, fit, tmp_path):
    straight, resumed = pretrainer(name), pretrainer(name, seed=1)
    resumed.seed = straight.seed
    batches = make_batches(name)
    fit(straight, batches, max_epochs=2)
    fit(resumed, batches, max_epochs=2, ckpt_path=tmp_path / "ckpt" / "epoch=0.ckpt")
    assert same(straight.state_dict(), resumed.state_dict())


def test_a_checkpoint_is_enough_to_build_the_module(name, pretrainer, make_batches, fit, tmp_path):
    module = pretrainer(name)
    fit(module, make_batches(name, n=1))
    again = Pretrainer.load_from_checkpoint(tmp_path / "ckpt" / "epoch=0.ckpt")
    assert same(module.state_dict(), again.state_dict())
    images = make_batches(name, n=1)[0]["views"][0]
    assert torch.equal(module.features(images), again.features(images))


def test_the_queue_and_the_centre_are_in_the_checkpoint(pretrainer):
    assert any(key.endswith("memory_bank.bank") for key in pretrainer("moco").state_dict())
    assert any(key.endswith("memory_bank.bank_ptr") for key in pretrainer("moco").state_dict())
    assert any(key.endswith("criterion.center") for key in pretrainer("dino").state_dict())


def test_the_same_seed_gives_the_same_run(pretrainer, make_batches, fit):
    modules = [pretrainer("denoise"), pretrainer("denoise")]
    for module in modules:
        fit(module, make_batches("denoise"))
    assert same(modules[0].state_dict(), modules[1].state_dict())


def test_features_are_in_evaluation_mode_and_leave_the_module_as_it_was(pretrainer, make_batches):
    module = pretrainer("simclr").train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    images = make_batches("simclr", n=1)[0]["views"][0]
    features = module.features(images)
    assert features.shape == (8, module.n_features)
    assert not features.requires_grad
    torch.testing.assert_close(features[:2], module.features(images[:2]))
    assert module.backbone.training
    assert same(before, module.state_dict())


@pytest.mark.parametrize("network", ["test_resnet", "convnext_atto", "mobilenetv3_small_050"])
def test_the_backbone_fits_timm(network, tmp_path):
    module = Pretrainer(
        network={"name": network},
        method=read_choice("ssl", "denoise") | {"width": 16},
        inputs={"image_size": 32, "fit": "crop", "mean": [0.5] * 3, "std": [0.25] * 3},
        optimizer={"name": "sgd", "lr": 0.1, "weight_decay": 0.0},
        scheduler={"name": "constant", "warmup_epochs": 0.0, "min_ratio": 1.0},
    )
    state = {name: tensor.contiguous() for name, tensor in module.backbone.state_dict().items()}
    save_file(state, tmp_path / "backbone.safetensors")
    fresh = timm.create_model(network, num_classes=0).eval()
    fresh.load_state_dict(load_file(tmp_path / "backbone.safetensors"))
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(fresh((images / 255 - 0.5) / 0.25), module.features(images), atol=1e-4, rtol=1e-4)


def test_the_teacher_begins_with_weights_that_were_loaded_late(pretrainer, make_batches, fit):
    module = pretrainer("byol", momentum=1.0)
    donor = timm.create_model("test_resnet", num_classes=0)
    module.backbone.load_state_dict(donor.state_dict())
    fit(module, make_batches("byol", n=1))
    for mine, theirs in zip(module.method.teacher.backbone.parameters(), donor.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_too_small_a_batch_is_refused(pretrainer, make_batches, fit):
    with pytest.raises(UserError, match="at least 4"):
        fit(pretrainer("simclr"), make_batches("simclr", size=3))


def test_the_learning_rate_follows_the_batch(pretrainer, make_batches, fit):
    module = pretrainer("simclr", lr=0.5)
    module.optimizer_settings["lr_reference_batch"] = 4
    module.scheduler_settings["name"] = "constant"
    trainer = fit(module, make_batches("simclr", n=2), accumulate_grad_batches=2)
    # These loaders give batches as they stand, one "image" each: two accumulated over a reference of four.
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.25)


def test_layer_decay_is_for_fine_tuning(pretrainer):
    settings = dict(pretrainer("simclr").hparams)
    with pytest.raises(UserError, match="layer_decay"):
        Pretrainer(**settings | {"optimizer": settings["optimizer"] | {"layer_decay": 0.5}})
