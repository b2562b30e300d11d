"""What a training needs fails or changes: its workers, its data, the clock, W&B, and its run directory."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.commands import TINY, Case
from tests.faults.processes import holder, wait_for, wait_for_workers
from tests.faults.results import check_equal, check_refused
from tests.golden import leaves

pytestmark = pytest.mark.faults

SHORT = Case("train", [*TINY, "evidence=off", "augment=light", "trainer.max_epochs=8", "hydra.run.dir={out}/run"])
WORKERS = replace(SHORT, overrides=[*SHORT.overrides, "data.num_workers=2"])
LAST, LOCK = "run/checkpoints/last.ckpt", "run/.lock"


def test_a_worker_that_is_killed_in_mid_epoch(victims, prepared, reference, tmp_path, rng, moments, fault):
    out = tmp_path / "out"
    _, expected = reference(WORKERS)
    for _ in range(moments):
        ended = None
        while ended is None or ended.process.returncode == 0:  # a worker that was about to end is no fault
            shutil.rmtree(out, ignore_errors=True)
            ended = start_and_kill_a_worker(victims, prepared, out, rng)
        with fault("SIGKILL: a worker that loads images"):
            check_refused(ended.process, "a worker process was killed")
            ended = WORKERS.start(victims, prepared, out)
            assert ended.process.returncode == 0, ended.process.stderr
            check_equal(expected, out)


def start_and_kill_a_worker(victims, prepared, out, rng):
    """Run a training, and kill one of its workers after an epoch."""
    with ThreadPoolExecutor(1) as pool:
        command = pool.submit(WORKERS.start, victims, prepared, out)
        wait_for(out, LAST, command)
        workers = wait_for_workers(holder(out / "run"), command)
        os.kill(rng.choice(workers), signal.SIGKILL)
        return command.result()


@pytest.mark.parametrize("case", [SHORT, WORKERS], ids=["no workers", "workers"])
def test_a_data_folder_that_vanishes(case, victims, prepared, reference, tmp_path, fault):
    data, out = tmp_path / "data", tmp_path / "out"
    (phantom,) = (prepared / "data").glob("phantom*120*")
    shutil.copytree(phantom, data)
    drawn = ("data=phantom", "data.n_images=", "data.phantom_size=")
    words = [each for each in case.overrides if not each.startswith(drawn)]
    case = replace(case, overrides=["data=ham10000", f"data.root={data}", *words])
    _, expected = reference(case)
    with ThreadPoolExecutor(1) as pool, fault("the data folder vanishes"):
        command = pool.submit(case.start, victims, prepared, out)
        wait_for(out, LAST, command)
        data.rename(tmp_path / "elsewhere")
        check_refused(command.result().process, str(data))
        (tmp_path / "elsewhere").rename(data)
        ended = case.start(victims, prepared, out)
        assert ended.process.returncode == 0, ended.process.stderr
        check_equal(expected, out)


def test_a_second_run_on_one_directory(victims, prepared, reference, tmp_path, fault):
    out = tmp_path / "out"
    _, expected = reference(SHORT)
    with ThreadPoolExecutor(1) as pool, fault("two runs on one directory"):
        command = pool.submit(SHORT.start, victims, prepared, out)
        first = holder(wait_for(out, LOCK, command).parent)
        os.kill(first, signal.SIGSTOP)
        try:
            words = SHORT.words(prepared, out)
            environment = os.environ | {
                "SKINLAB_DATA_ROOT": str(prepared / "data"),
                "SKINLAB_CACHE": str(out / "cache"),
            }
            second = subprocess.run(
                [sys.executable, "-m", "skinlab.train", *words], capture_output=True, text=True, env=environment
            )
        finally:
            os.kill(first, signal.SIGCONT)
        check_refused(second, f"is in use by process {first}")
        ended = command.result()
        assert ended.process.returncode == 0, ended.process.stderr
        check_equal(expected, out)


def test_a_clock_that_jumps(victims, prepared, reference, tmp_path, fault):
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed (apt install faketime)")
    out, clock = tmp_path / "out", tmp_path / "clock"
    _, expected = reference(SHORT)
    environment = {
        **{"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"},
        **{"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "SKINLAB_CACHE": str(out / "cache")},
        "SKINLAB_DATA_ROOT": str(prepared / "data"),
    }
    for jumps in (("+400d", "-800d"), ("-400d", "+800d")):
        shutil.rmtree(out, ignore_errors=True)
        clock.write_text("+0\n")
        command = [sys.executable, "-m", "skinlab.train", *SHORT.words(prepared, out)]
        with ThreadPoolExecutor(1) as pool, fault("the clock jumps by years"):
            running = pool.submit(subprocess.run, command, capture_output=True, text=True, env=os.environ | environment)
            for pattern, jump in zip((LOCK, LAST), jumps, strict=True):
                wait_for(out, pattern, running)
                clock.write_text(f"{jump}\n")
            done = running.result()
            assert done.returncode == 0, done.stderr
            check_equal(expected, out)
            contents = [json.loads(path.read_text()) for path in out.rglob("*.json")]
            seconds = [value for name, value in leaves(contents) if "second" in name]
            assert seconds
            assert all(0 <= value < 3600 for value in seconds), seconds


@pytest.fixture
def silent_server():
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_wandb_that_never_answers(silent_server, victims, prepared, reference, tmp_path, fault):
    out = tmp_path / "out"
    _, expected = reference(SHORT)
    case = replace(SHORT, overrides=[*SHORT.overrides, "logger=[csv,wandb]"])
    online = {"WANDB_MODE": "online", "WANDB_BASE_URL": silent_server, "WANDB_API_KEY": "0" * 40}
    with fault("W&B never answers"):
        ended = case.start(victims, prepared, out, **online)
        assert ended.process.returncode == 0, ended.process.stderr
        assert "Traceback" not in ended.process.stderr
        assert "W&B can't be reached" in ended.process.stderr
        shutil.rmtree(out / "run" / "wandb")
        check_equal(expected, out)
