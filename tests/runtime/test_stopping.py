"""A signal ends a command in order, at whatever moment: one line, 128 + its number, no traceback, no children."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

START = """
import os, sys, time
from skinlab.runtime import stopping
stopping.GRACE = 1.0
class Swallowing:
    def __del__(self):
        ready(); time.sleep(30)
def ready():
    print(os.getpid(), flush=True)
with stopping.answering_signals() as answer:
"""
MOMENTS = {
    "anywhere": "    ready(); time.sleep(30)",
    "in cleaning up after another error": "    try: 1 / 0\n    finally: ready(); time.sleep(30)",
    "where Python drops exceptions": "    x = Swallowing(); del x; time.sleep(30)",
    "where Python does not look": "    import hashlib; ready(); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "before a lost worker is reported": "    ready()\n    while True: answer.settle()",
    "after the work": "    pass\nready(); time.sleep(30)",
}


def started(code: str) -> tuple[subprocess.Popen, int]:
    process = subprocess.Popen(
        [sys.executable, "-c", START + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    return process, int(process.stdout.readline())


def test_every_moment_ends_in_one_line():
    signals = {signal.SIGTERM: "terminated: ", signal.SIGINT: "interrupted: "}
    processes = {(moment, number): started(code)[0] for moment, code in MOMENTS.items() for number in signals}
    for (_, number), process in processes.items():
        process.send_signal(number)
    for (moment, number), process in processes.items():
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 128 + number, moment
        assert errors == f"{signals[number]}the same command goes on\n", moment


def test_a_job_ends_with_whoever_started_it_even_if_that_one_is_killed():
    job = "print(os.getpid(), flush=True); time.sleep(30)"
    start = f"    from skinlab.runtime.job_processes import start_job; code = {START + '    ' + job!r}\n"
    parent, child = started(start + "    start_job([sys.executable, '-c', code]); time.sleep(30)")
    parent.kill()
    for _ in range(100):
        time.sleep(0.1)
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
    pytest.fail("the job goes on")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_ends_in_order_at_random_moments(tiny, tmp_path, number):
    words = [*tiny, "data.num_workers=2", "trainer.max_epochs=100", f"hydra.run.dir={tmp_path / 'run'}"]
    for delay in np.random.default_rng(int(number)).uniform(0.3, 20, 8):
        line = [sys.executable, "-m", "skinlab.train", *words]
        process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        time.sleep(delay)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + number, delay
        assert errors.endswith(": the same command goes on\n")
        assert "Traceback" not in errors
