"""Settings that cancel each other are refused, or named in one line."""

import re

import pytest
import yaml

from skinlab.errors import UserError
from skinlab.runs.consistency import cautions
from skinlab.settings.run import RunSettings


@pytest.fixture(scope="module")
def settings_of(compose_train, compose_pretrain):
    """The default settings of a command with some changed, without composing them anew."""
    base = {"train": compose_train("data=ham10000"), "pretrain": compose_pretrain("data=ham10000")}

    def changed(words: str, command: str = "train") -> RunSettings:
        overrides = dict(word.split("=") for word in words.split())
        return base[command].updated({name: yaml.safe_load(value) for name, value in overrides.items()})

    return changed


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_the_defaults_cancel_nothing(settings_of, command):
    assert not list(cautions(settings_of("", command), n_batches=20))


@pytest.mark.parametrize(
    "words",
    [
        *("trainer.max_epochs=0", "trainer.max_epochs=null", "trainer.accumulate_grad_batches=0"),
        *("trainer.gradient_clip_val=-1.0", "trainer.log_every_n_steps=0", "trainer.limit_train_batches=0"),
        *("trainer.limit_val_batches=0.0", "trainer.limit_val_batches=1.5", "callbacks.patience=-1"),
        *("model.freeze_epochs=-1", "model.ema_decay=1.0", "model.dropout=1.0", "augment.mixup=-0.2"),
        *("scheduler.name=linear", "scheduler.warmup_epochs=12", "scheduler.min_ratio=2.0"),
        "scheduler.min_ratio=0.01 scheduler.name=constant",
    ],
)
def test_settings_without_effect_are_refused_by_name(settings_of, words):
    with pytest.raises(UserError, match=f"^{re.escape(words.split()[0])}: ") as error:
        settings_of(words)
    assert len(str(error.value).splitlines()) == 1


def test_no_clipping_is_a_choice(settings_of):
    for value in ("0.0", "null"):
        settings_of(f"trainer.gradient_clip_val={value}")


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("train", "model.freeze_epochs=3 trainer.max_epochs=3", "only the head is trained"),
        ("train", "model.freeze_epochs=12 optimizer.layer_decay=0.75", "no layer but the head"),
        ("train", "model.ema_decay=0.9999", "240 steps are too few"),
        ("train", "semi.decay=0.999", "semi.decay=0.999: 240 steps"),
        ("train", "semi.weight=0.0", "nothing is learned from the pool"),
        ("train", "trainer.accumulate_grad_batches=64", "an epoch has 20 batches"),
        ("train", "callbacks.patience=11", "callbacks.patience=11: the 12 values"),
        ("train", "callbacks.patience=2 trainer.check_val_every_n_epoch=4", "the 3 values"),
        ("train", "trainer.check_val_every_n_epoch=5", "the last 2 of trainer.max_epochs=12 are never validated"),
        ("train", "loss.drw_start=0.8 trainer.max_epochs=4", "no epoch of trainer.max_epochs=4 is left"),
        ("pretrain", "probe.every_n_epochs=60", "only the last of trainer.max_epochs=50"),
        ("pretrain", "probe.every_n_epochs=5 callbacks.patience=2", "before a second probe"),
        ("pretrain", "callbacks.patience=50", "callbacks.patience=50: the 50 values"),
        ("pretrain", "ssl.warmup_epochs=50", "ssl.warmup_epochs=50: lasts for all"),
    ],
)
def test_a_setting_that_another_cancels_is_named_in_one_line(settings_of, command, words, message):
    lines = list(cautions(settings_of(words, command), n_batches=20))
    assert any(message in line for line in lines)
    assert all(len(line.splitlines()) == 1 for line in lines)


def test_limited_batches_must_leave_one(settings_of):
    with pytest.raises(UserError, match=r"trainer\.limit_train_batches=0\.01 leaves no batch"):
        list(cautions(settings_of("trainer.limit_train_batches=0.01"), n_batches=20))


@pytest.mark.parametrize(("epochs", "frozen"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (7, 3), (50, 3)])
def test_a_linear_probe_leaves_at_least_half_of_the_epochs_to_fine_tuning(epochs, frozen):
    from omegaconf import OmegaConf

    from skinlab.cli.conf import config_directory
    from skinlab.cli.config import register_resolvers

    register_resolvers()
    recipe = OmegaConf.load(config_directory() / "finetune" / "lp_ft.yaml")
    assert OmegaConf.merge(recipe, {"trainer": {"max_epochs": epochs}}).model.freeze_epochs == frozen


def test_the_phantom_has_fewer_epochs_than_other_data(compose_train, compose_pretrain):
    found = [
        compose(f"data={data}").trainer.max_epochs
        for compose in (compose_train, compose_pretrain)
        for data in ("phantom", "ham10000")
    ]
    assert found == [8, 12, 10, 50]
    assert compose_train("trainer.max_epochs=3").trainer.max_epochs == 3
