"""A run's epochs count from 1, with their metrics and the time left of the whole run."""

import logging
from types import SimpleNamespace

import torch

from skinlab.callbacks import progress
from skinlab.callbacks.progress import RunProgress


def test_epochs_count_from_1_and_the_time_left_is_the_run_s(monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO)
    trainer = SimpleNamespace(
        num_training_batches=2, current_epoch=0, max_epochs=3, is_global_zero=True, callback_metrics={}
    )
    callback = RunProgress("val/loss")
    callback.on_train_start(trainer, None)
    for epoch in range(3):
        trainer.current_epoch = epoch
        for _ in range(2):
            now[0] += 2
            callback.on_train_batch_end(trainer, None, None, None, 0)
        now[0] += 1
        trainer.callback_metrics = {
            "val/f1_macro": torch.tensor(0.5),
            "train/loss": torch.tensor(1.25),
            "val/loss": torch.tensor(0.75),
        }
        callback.on_train_epoch_end(trainer, None)
    callback.teardown(trainer, None, "fit")
    assert [record.message for record in caplog.records if "took" in record.message][::2] == [
        "epoch 1 of 3: val/loss 0.75, train/loss 1.25, val/f1_macro 0.5; took 0:05, 0:10 left",
        "epoch 3 of 3: val/loss 0.75, train/loss 1.25, val/f1_macro 0.5; took 0:05, 0:00 left",
    ]


def test_a_resumed_run_goes_on_counting():
    trainer = SimpleNamespace(num_training_batches=10, current_epoch=4, max_epochs=12)
    callback = RunProgress("val/loss")
    callback.on_train_start(trainer, None)
    assert callback.progress is not None
    assert (callback.progress.done, callback.progress.total) == (40, 120)
    callback.teardown(trainer, None, "fit")
    assert callback.progress is None
