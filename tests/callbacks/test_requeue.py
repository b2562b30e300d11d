"""A run that is requeued in mid-epoch ends as one that is not."""

import os
import signal
from pathlib import Path

import pytest
import torch

from skinlab.callbacks import requeue
from skinlab.callbacks.requeue import RequeueCheckpoint
from skinlab.commands.pretrain import pretrain
from skinlab.commands.train import train

STEP = 5  # of 4 (of 2 with accumulation) in each of three epochs: within one
REQUEUE = ["+trainer.requeue_signal=USR1", "trainer.max_epochs=3"]
RUNS = {
    "mixing, dropout, workers": ("train", ["augment.mixup=0.5", "model.dropout=0.3", "data.num_workers=2"]),
    "weighted sampling, accumulation, average": (
        "train",
        ["sampler=weighted", "trainer.accumulate_grad_batches=2", "model.ema_decay=0.9"],
    ),
    "semi-supervision": ("train", ["semi=fixmatch", "semi.pool_ratio=1", "data.label_budget=0.5"]),
    "pretraining": ("pretrain", ["ssl=byol", "probe.every_n_epochs=0"]),
}


class SlurmEndedItError(Exception):
    """Stands for the end of the job by SLURM."""


def end():
    raise SlurmEndedItError


def weights(folder: Path) -> dict[str, torch.Tensor]:
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return content["state_dict"]


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_weights_are_those_of_an_uninterrupted_run(
    name, tiny, compose_train, compose_pretrain, tmp_path, monkeypatch
):
    command, more = RUNS[name]
    run, compose = (train, compose_train) if command == "train" else (pretrain, compose_pretrain)
    own = [word for word in tiny if command == "train" or word != "evidence=off"]
    overrides = [*own, *REQUEUE, *more]
    run(compose(*overrides, run_dir=tmp_path / "whole"))

    act, handlers = RequeueCheckpoint.on_train_batch_end, signal.getsignal(signal.SIGUSR1)

    def signalled(self, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == STEP:
            os.kill(os.getpid(), signal.SIGUSR1)
        act(self, trainer, module, outputs, batch, batch_idx)

    with monkeypatch.context() as patched:
        patched.setattr(RequeueCheckpoint, "on_train_batch_end", signalled)
        patched.setattr(requeue, "requeue", end)
        with pytest.raises(SlurmEndedItError):
            run(compose(*overrides, run_dir=tmp_path / "requeued"))
    signal.signal(signal.SIGUSR1, handlers)
    written = tmp_path / "requeued" / "checkpoints" / "requeue.ckpt"
    assert torch.load(written, weights_only=True)["global_step"] == STEP
    run(compose(*overrides, run_dir=tmp_path / "requeued"))
    signal.signal(signal.SIGUSR1, handlers)
    assert not written.exists()
    whole, requeued = weights(tmp_path / "whole"), weights(tmp_path / "requeued")
    assert whole.keys() == requeued.keys()
    for key, value in whole.items():
        assert torch.equal(value, requeued[key]), key
