"""Which callbacks a run gets."""

from pathlib import Path

import pytest

from skinlab.callbacks.assembly import build_callbacks, build_pretraining_callbacks, monitor_mode
from skinlab.errors import UserError
from skinlab.models.epoch_metrics import epoch_metric_names
from skinlab.settings.run import RunSettings


@pytest.fixture(scope="module")
def settings(compose_train, compose_pretrain):
    """The settings of a run that differ in what the callbacks depend on."""
    base = {"train": compose_train("logger=[]"), "pretrain": compose_pretrain("logger=[]", "scheduler.warmup_epochs=0")}

    def changed(command: str, monitor: str, epochs: int, every: int, **callbacks: object) -> RunSettings:
        values = {"callbacks.monitor": monitor, "callbacks.progress": False, "trainer.max_epochs": epochs}
        values["probe.every_n_epochs" if command == "pretrain" else "trainer.check_val_every_n_epoch"] = every
        return base[command].updated(values | {f"callbacks.{name}": value for name, value in callbacks.items()})

    return changed


@pytest.mark.parametrize(("epochs", "every", "kept"), [(6, 2, 2), (7, 2, 1), (6, 4, 2), (2, 5, 1), (3, 0, 1)])
def test_the_last_checkpoint_is_of_the_last_epoch_however_seldom_it_is_written(settings, epochs, every, kept):
    best, last = build_pretraining_callbacks(settings("pretrain", "auto", epochs, every), Path("r"), None)[-2:]
    assert (best.every_n_epochs, last.every_n_epochs) == (1, kept)
    assert epochs % last.every_n_epochs == 0


def test_a_training_is_validated_at_least_once(settings):
    assert build_callbacks(settings("train", "val/loss", 6, 4), Path("r"), ["a", "b"])[-1].every_n_epochs == 2
    for every, expected in ((7, "choose from 1 to trainer.max_epochs=6"), (0, "a number of at least 1")):
        with pytest.raises(UserError, match=rf"check_val_every_n_epoch={every}: {expected}"):
            settings("train", "val/loss", 6, every)


@pytest.mark.parametrize("metric", epoch_metric_names(["nv", "mel"]))
def test_the_direction_belongs_to_the_metric(settings, metric):
    right, wrong = ("min", "max") if metric in ("loss", "ece") else ("max", "min")
    for mode in ("auto", right):
        chosen = settings("train", f"val/{metric}", 4, 1, mode=mode, patience=2)
        callbacks = build_callbacks(chosen, Path("r"), ["nv", "mel"])
        stop, best = callbacks[-3], callbacks[-2]
        assert (best.monitor, best.mode, stop.monitor, stop.mode) == (f"val/{metric}", right, f"val/{metric}", right)
    with pytest.raises(
        UserError, match=f"callbacks.mode={wrong} would keep the worst epoch: val/{metric} is better the"
    ):
        monitor_mode(f"val/{metric}", wrong)


def test_a_class_named_loss_is_still_better_the_larger_its_f1():
    assert (monitor_mode("val/f1/loss"), monitor_mode("val/pr_auc/ece")) == ("max", "max")


@pytest.mark.parametrize("metric", ["f1/mel", "pr_auc/mel", "auroc_macro", "sensitivity", "pr_auc_positive"])
def test_a_monitor_without_a_value_on_the_validation_images_is_refused(settings, metric):
    given = settings("train", f"val/{metric}", 4, 1), Path("r"), ["nv", "mel"]
    with pytest.raises(UserError, match=rf"val/{metric} is undefined on these validation images \(9 nv, 0 mel\)"):
        build_callbacks(*given, [9, 0])
    build_callbacks(*given, [9, 1])
