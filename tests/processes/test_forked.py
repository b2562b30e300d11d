"""A forked job is like a process of its own: arguments, variables, output, signals, random numbers, its end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from skinlab.processes.forked import NO_THREAD, can_fork

# The program that starts jobs, and what they are: modules in its folder. Nothing is imported before the fork.
START = """
import json, os, signal, subprocess, sys, time
from skinlab.processes import forked, signals
from skinlab.processes.forked import ForkedJob
from skinlab.processes.jobs import end_jobs
forked.PRELOADED = ("skinlab.processes.forkserver_end", "numpy")
signals.POLL = 0.05
def job(name, *arguments, output=None):
    return ForkedJob([sys.executable, "-m", name, *arguments], dict(os.environ), {"OWN": "1"}, output)
"""
SHOWING = """
import json, multiprocessing, os, random, sys
import numpy
own = {"argv": sys.argv[1:], "folder": os.getcwd(), "OWN": os.environ["OWN"], "path": sys.path[0]}
own |= {"random": random.random(), "numpy": numpy.random.random(), "name": __name__}
own |= {"task": len(os.listdir("/proc/self/task")), "stdin": sys.stdin.read()}
print(json.dumps(own))
print("error: none", file=sys.stderr)
sys.exit(3)
"""
HANDLING = """
import os, time
from skinlab.processes import signals
signals.POLL = 0.05
with signals.handling_signals():
    try:
        print(os.getpid(), flush=True)
        time.sleep(60)
    finally:
        print("saved", flush=True)
"""


def run_program(folder: Path, code: str, **modules: str) -> subprocess.Popen:
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    command = [sys.executable, "-c", START + code]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def test_jobs_have_arguments_variables_outputs_and_random_numbers_of_their_own(tmp_path):
    code = (
        "from pathlib import Path\n"
        "for number in (1, 2):\n"
        "    print(job('showing', f'n={number}', output=Path(f'{number}.log')).wait(60))\n"
    )
    process = run_program(tmp_path, code, showing=SHOWING)
    printed, errors = process.communicate(timeout=120)
    assert (printed, errors, process.returncode) == ("3\n3\n", "", 0)
    logs = [(tmp_path / f"{number}.log").read_text().splitlines() for number in (1, 2)]
    first, second = (json.loads(lines[0]) for lines in logs)
    assert [lines[1:] for lines in logs] == [["error: none"]] * 2
    assert (first["argv"], second["argv"]) == (["n=1"], ["n=2"])
    assert first["folder"] == first["path"] == str(tmp_path)
    assert (first["OWN"], first["name"], first["task"], first["stdin"]) == ("1", "__main__", 1, "")
    assert first["random"] != second["random"]
    assert first["numpy"] != second["numpy"]


def test_a_job_prints_where_its_starter_prints_and_its_exit_handlers_run(tmp_path):
    code = "print(job('leaving').wait(60))"
    leaving = "import atexit, os, signal\natexit.register(print, 'left')\nprint('works')\nraise ValueError('no')"
    printed, errors = run_program(tmp_path, code, leaving=leaving).communicate(timeout=120)
    assert printed == "works\nleft\n1\n"
    assert errors.rstrip().endswith("ValueError: no")


def test_a_job_that_is_killed_and_one_that_takes_too_long_are_known(tmp_path):
    code = """
killed, long = job('killed'), job('long')
print(killed.wait(60), killed.poll())
try:
    long.wait(0.1)
except subprocess.TimeoutExpired:
    print(long.poll(), long.returncode)
end_jobs([long])
print(long.returncode)
"""
    process = run_program(
        tmp_path, code, killed="import os; os.kill(os.getpid(), 9)", long="import time; time.sleep(60)"
    )
    assert process.communicate(timeout=120) == ("-9 -9\nNone None\n-15\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_starter_lets_the_job_clean_up(tmp_path, number):
    code = """
with signals.handling_signals():
    jobs = [job('handling')]
    try:
        jobs[0].wait()
    finally:
        end_jobs(jobs)
        print(jobs[0].returncode, flush=True)
"""
    process = run_program(tmp_path, code, handling=HANDLING)
    process.stdout.readline()
    process.send_signal(number)
    printed, errors = process.communicate(timeout=60)
    assert printed == "saved\n143\n"
    assert errors.count("the same command goes on") == 1
    assert process.returncode == 128 + number


def test_a_signal_to_the_group_ends_the_job_in_order_and_its_exit_code_is_known(tmp_path):
    code = """
os.setpgid(0, 0)
signal.signal(signal.SIGTERM, lambda *_: None)
started = job('handling')
print(started.wait(), flush=True)
"""
    process = run_program(tmp_path, code, handling=HANDLING)
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=60) == ("saved\n143\n", "")


@pytest.mark.parametrize("victim", ["starter", "server"])
def test_a_job_ends_with_its_starter_and_with_what_forked_it_even_if_they_are_killed(tmp_path, victim):
    process = run_program(tmp_path, "job('handling').wait()\ntime.sleep(60)", handling=HANDLING)
    child = int(process.stdout.readline())
    status = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    os.kill(process.pid if victim == "starter" else int(status[1]), signal.SIGKILL)
    end = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
    process.kill()
    assert process.communicate(timeout=30) == ("saved\n", "")  # all have closed the pipes


@pytest.mark.parametrize(
    ("main", "command", "variables", "forks"),
    [
        ("skinlab.train", ["-m", "skinlab.train"], {}, True),
        ("pytest.__main__", ["-m", "skinlab.train"], {}, False),
        (None, ["-m", "skinlab.train"], {}, False),
        ("skinlab.train", ["-c", "pass"], {}, False),
        ("skinlab.train", ["-m", "skinlab.train"], {"OMP_NUM_THREADS": "2"}, False),
    ],
)
def test_only_commands_fork_and_only_jobs_with_the_variables_of_the_first(monkeypatch, main, command, variables, forks):
    module = type(sys)("main")
    if main:
        module.__spec__ = type("Spec", (), {"name": main})
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setattr("skinlab.processes.forked._environments", [{"HOME": "/"}])
    assert can_fork([sys.executable, *command], {"HOME": "/"} | variables) == forks


def test_what_is_imported_before_the_fork_starts_no_thread_and_asks_for_no_gpu():
    code = """
import os, sys
import torch
def refused(*_):
    raise AssertionError("asked for a GPU")
torch.cuda.is_available = torch.cuda.device_count = refused
from skinlab.processes.forked import PRELOADED
for each in PRELOADED[1:]:
    __import__(each)
print(len(os.listdir("/proc/self/task")))
"""
    variables = environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | NO_THREAD
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    assert done.stdout == "1\n", done.stderr
