"""A worker that is killed, stopped or short of shared memory ends in one line with its remedy, never in a hang."""

import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skinlab.data import workers
from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.samplers import EvalSampler
from skinlab.errors import UserError


class Images(ImageDataset):
    """Makes black images; one of them ends or stops the worker that reads it."""

    def __init__(self, number: int | None = None) -> None:
        super().__init__(["x"] * 40, np.zeros(40), size=8)
        self.number = number

    def pixels(self, row: int) -> np.ndarray:
        workers.count_progress()
        if row == 10 and self.number is not None:
            os.kill(os.getpid(), self.number)
        return np.zeros((8, 8, 3), np.uint8)


def load(dataset: ImageDataset) -> int:
    return sum(len(batch["row"]) for batch in batch_loader(dataset, EvalSampler(40), batch_size=4, num_workers=2))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(workers, "POLL", 0.05)


@pytest.mark.parametrize(("number", "told"), [(signal.SIGKILL, "was killed"), (signal.SIGSTOP, "has done nothing")])
def test_a_loader_that_is_killed_or_stopped(impatient, number, told):
    with pytest.raises(UserError, match=rf"{told}.*num_workers=0"):
        load(Images(number))


@pytest.mark.parametrize("number", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGSTOP])
def test_a_process_of_a_pool_that_is_killed_or_stopped(impatient, number):
    with pytest.raises(UserError, match="num_workers=0"):
        list(workers.map_in_processes(suicide, [number] * 3, 1))
    assert list(workers.map_in_processes(abs, [-1, -2], 1)) == [1, 2]


def suicide(number: int) -> None:
    os.kill(os.getpid(), number)


def test_full_shared_memory(monkeypatch):
    def full(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    assert load(Images()) == 40
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "share_memory_", full)
        with pytest.raises(UserError, match=r"--shm-size=8g.*num_workers=0"):
            load(Images())
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(UserError, match="shared memory is full"):
        load(Images())


def test_slow_work_is_no_hang(impatient):
    counter = workers.new_counter()
    with workers.Watch(counter) as watch:
        for _ in range(12):
            counter.value += 1
            watch.wait_for(lambda: time.sleep(0.05))
    assert not watch.stalled
