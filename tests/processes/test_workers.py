"""A worker that is killed, stopped or short of shared memory ends in one line with its remedy, never in a hang."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from skinlab.data import dataset
from skinlab.data.dataset import ImageDataset, batch_loader
from skinlab.data.samplers import EvalSampler
from skinlab.errors import UserError
from skinlab.processes import workers


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


def load(images: ImageDataset) -> int:
    return sum(len(batch["row"]) for batch in batch_loader(images, EvalSampler(40), batch_size=4, num_workers=2))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(workers, "POLL", 0.02)


@pytest.mark.parametrize(
    ("number", "poll", "message"), [(signal.SIGKILL, 2.0, "was killed"), (signal.SIGSTOP, 0.02, "has done nothing")]
)
def test_a_loader_that_is_killed_or_stopped(monkeypatch, number, poll, message):
    monkeypatch.setattr(workers, "POLL", poll)
    with pytest.raises(UserError, match=rf"{message}.*num_workers=0"):
        load(Images(number))


@pytest.mark.parametrize("error", [EOFError, ConnectionResetError, ConnectionRefusedError])
def test_a_worker_that_is_killed_while_it_passes_a_batch_on(monkeypatch, error):
    shut_down = _MultiProcessingDataLoaderIter._shutdown_workers

    def broken(self):
        raise error

    def reported_late(self):
        shut_down(self)
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_next_data", broken)
    with pytest.raises(UserError, match=r"was killed.*num_workers=0"):
        load(Images())
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "_shutdown_workers", reported_late)
    with pytest.raises(UserError, match=r"was killed.*num_workers=0"):
        load(Images())


@pytest.mark.parametrize("number", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGSTOP])
def test_a_process_of_a_pool_that_is_killed_or_stopped(impatient, number):
    with pytest.raises(UserError, match="num_workers=0"):
        list(workers.map_in_processes(suicide, [number] * 3, 1))
    assert list(workers.map_in_processes(abs, [-1, -2], 1)) == [1, 2]


def suicide(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("noticed", ["before", "while it is written"])
def test_batches_that_shared_memory_has_no_room_for_take_another_way(monkeypatch, caplog, noticed):
    def full(self):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    def batches(num_workers):
        return list(batch_loader(Images(), EvalSampler(40), batch_size=8, num_workers=num_workers))

    expected = batches(0)
    dataset._report_pipes.cache_clear()
    if noticed == "before":
        monkeypatch.setattr(workers.shutil, "disk_usage", lambda _: SimpleNamespace(free=workers.SPARE))
    else:
        monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    for got, wanted in zip(batches(2), expected, strict=True):
        assert got["image"].stride() == wanted["image"].stride()
        assert all(torch.equal(got[name], wanted[name]) for name in ("image", "target", "row"))
    assert caplog.text.count("--shm-size=8g") == 1


def test_full_shared_memory_is_refused(monkeypatch):
    monkeypatch.setattr(workers.shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
    with pytest.raises(UserError, match=r"shared memory is full.*--shm-size=8g.*num_workers=0"):
        load(Images())


def test_slow_work_is_no_hang(impatient):
    counter = workers.new_counter()
    with workers.Watch(counter) as watch:
        for _ in range(2 * workers.PATIENCE):
            counter.value += 1
            watch.wait_for(lambda: time.sleep(workers.POLL))
    assert not watch.stalled


def test_a_script_without_a_main_guard_can_use_worker_processes(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "from operator import neg\nfrom skinlab.processes.workers import map_in_processes\n"
        "print(*map_in_processes(neg, range(4), 2))\n"
    )
    for words, piped in (([str(script)], None), (["-"], script.read_text())):
        ran = subprocess.run([sys.executable, *words], input=piped, capture_output=True, text=True)
        assert (ran.stdout, ran.stderr) == ("0 -1 -2 -3\n", "")
