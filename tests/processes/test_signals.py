"""A signal ends a command in order, at whatever moment: one line, 128 + its number, no traceback, no children."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

START = """
import os, sys, time
from skinlab.processes import signals
signals.GRACE, signals.POLL = 0.5, 0.05
class Swallowing:
    def __del__(self):
        ready(); time.sleep(30)
def ready():
    print(os.getpid(), flush=True)
with signals.handling_signals() as handler:
"""
MOMENTS = {
    "anywhere": "    ready(); time.sleep(30)",
    "in cleaning up after another error": "    try: 1 / 0\n    finally: ready(); time.sleep(30)",
    "where Python drops exceptions": "    x = Swallowing(); del x; time.sleep(30)",
    "where Python does not look": "    import hashlib; ready(); hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    "before a lost worker is reported": "    ready()\n    while True: handler.wait_for_group_signal()",
    "after the work": "    pass\nready(); time.sleep(30)",
}


def started(code: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", START + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_every_moment_ends_in_one_line():
    trials = [(moment, signal.SIGTERM, "terminated") for moment in MOMENTS] + [
        ("anywhere", signal.SIGINT, "interrupted")
    ]
    processes = [started(MOMENTS[moment]) for moment, *_ in trials]
    for process, (_, number, _) in zip(processes, trials, strict=True):
        process.stdout.readline()
        process.send_signal(number)
    for process, (moment, number, word) in zip(processes, trials, strict=True):
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 128 + number, moment
        assert errors == f"{word}: the same command goes on\n", moment


def test_it_answers_within_a_second_however_long_cleaning_up_takes():
    code = START.replace("GRACE, signals.POLL = 0.5", "GRACE, signals.POLL = 20")
    work = "    handler.remedy = 'to go on: x'\n    try: ready(); time.sleep(30)\n    finally: time.sleep(3)"
    process = subprocess.Popen(
        [sys.executable, "-c", code + work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    assert process.stderr.readline() == "interrupted: to go on: x\n"
    answered = time.monotonic()
    assert process.communicate(timeout=30)[1] == "", "once"
    assert process.returncode == 130
    assert answered - sent < 1 or time.monotonic() - answered > 2, "before it has cleaned up"


def test_a_second_ctrl_c_ends_at_once_but_not_the_same_signal_sent_twice():
    code = START.replace("GRACE, signals.POLL = 0.5", "GRACE, signals.POLL = 60")
    work = "    try: ready(); time.sleep(60)\n    finally:\n        time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", code + work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "interrupted: the same command goes on\n"
    process.send_signal(signal.SIGINT)  # as `timeout` does, to the process and to its group
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


def test_no_cleaning_up_waits_for_a_worker():
    code = START.replace("GRACE, signals.POLL = 0.5", "GRACE, signals.POLL = 60")
    work = (
        "    import multiprocessing\n"
        "    worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "    worker.start()\n"
        "    try: ready(); time.sleep(30)\n"
        "    finally: worker.join(); print(worker.exitcode, flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code + work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=300)
    assert (printed, process.returncode) == (f"{-signal.SIGKILL}\n", 130), errors


JOB = "print(os.getpid(), flush=True); time.sleep(30)"
RANK = "print(os.getpid(), flush=True); handler.wait_for_rank_0(); 1 / 0"  # of a run on several devices


@pytest.mark.parametrize(
    ("work", "start"),
    [
        (JOB, "from skinlab.processes.jobs import start_job as start"),
        (RANK, "from subprocess import Popen as start; os.environ['LOCAL_RANK'] = '1'"),
    ],
    ids=["job", "rank"],
)
def test_a_process_ends_without_a_word_with_whoever_started_it_even_if_that_one_is_killed(work, start):
    code = f"    {start}; code = {START + '    ' + work!r}\n"
    parent = started(code + "    start([sys.executable, '-c', code]); time.sleep(30)")
    parent.stdout.readline()
    parent.kill()
    assert parent.communicate(timeout=20)[1] == ""  # which takes until the child has closed the pipe, too


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
        assert re.search(r"ed: (the same command goes on|to go on: python -m skinlab.train )", errors)
        assert "Traceback" not in errors


@pytest.mark.ddp
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_of_two_processes_ends_in_order_and_goes_on(tiny, tmp_path, number):
    words = [word for word in tiny if word != "trainer=cpu"] + ["trainer=ddp", "trainer.accelerator=cpu"]
    words += ["model=timm", "model.name=test_resnet", "trainer.devices=2", "trainer.max_epochs=20"]
    words.append(f"hydra.run.dir={tmp_path / 'run'}")
    line = [sys.executable, "-m", "skinlab.train", *words]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (tmp_path / "run" / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)  # until both processes have closed it
    assert process.returncode == 128 + number
    assert "ed: to go on: python -m skinlab.train " in errors
    assert not re.search("Traceback|Error", errors)
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "metrics.json").is_file()


def test_an_error_that_nobody_can_catch_is_not_printed_after_the_signal():
    code = """
import os, signal
from skinlab.processes.signals import handling_signals

signal.signal(signal.SIGCHLD, lambda *_: None)
with handling_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    os.kill(os.getpid(), signal.SIGCHLD)
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGCHLD})
    signal.pause()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (143, "terminated: the same command goes on\n")
