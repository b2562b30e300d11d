"""Which callbacks a run gets."""

from pathlib import Path

import pytest

from skinlab.callbacks.assembly import build_callbacks, build_pretraining_callbacks
from skinlab.errors import UserError


def settings(monitor: str, epochs: int, every: int) -> dict:
    return {
        "callbacks": {"monitor": monitor, "mode": "min", "patience": 0, "progress": False},
        "trainer": {"log_every_n_steps": 1, "max_epochs": epochs, "check_val_every_n_epoch": every},
        "probe": {"every_n_epochs": every},
        "model": {"freeze_epochs": 0, "ema_decay": 0.0},
        "semi": {"name": "none"},
        "logger": {},
    }


@pytest.mark.parametrize(("epochs", "every", "kept"), [(6, 2, 2), (7, 2, 1), (6, 4, 2), (2, 5, 1), (3, 0, 1)])
def test_the_last_checkpoint_is_of_the_last_epoch_however_seldom_it_is_written(epochs, every, kept):
    best, last = build_pretraining_callbacks(settings("auto", epochs, every), Path("r"), None)[-2:]
    assert (best.every_n_epochs, last.every_n_epochs) == (1, kept)
    assert epochs % last.every_n_epochs == 0


def test_a_training_is_validated_at_least_once():
    assert build_callbacks(settings("val/loss", 6, 4), Path("r"), ["a", "b"])[-1].every_n_epochs == 2
    for every in (7, 0):
        with pytest.raises(UserError, match=rf"check_val_every_n_epoch={every}: choose from 1 to trainer.max_epochs=6"):
            build_callbacks(settings("val/loss", 6, every), Path("r"), ["a", "b"])
