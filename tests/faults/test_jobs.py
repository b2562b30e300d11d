"""A study or a sweep that is killed, or one of its jobs: the same command ends in the results of an undisturbed one."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.commands import JOBS
from tests.faults.processes import holder, wait_for
from tests.faults.results import check_equal
from tests.faults.victims import Moment

pytestmark = pytest.mark.faults

RUNS = {"study": "study/runs", "sweep": "sweep"}


@pytest.mark.parametrize("name", JOBS)
def test_a_command_with_jobs(name, victims, prepared, reference, tmp_path, rng, moments, fault):
    case, out = JOBS[name], tmp_path / "out"
    whole, expected = reference(case)
    for _ in range(moments):
        shutil.rmtree(out, ignore_errors=True)
        killed = case.start(victims, prepared, out, Moment(seconds=rng.uniform(0.1, 1) * whole.seconds)).killed
        with fault(f"SIGKILL: {name}", int(killed)):
            ended = case.start(victims, prepared, out)
            assert ended.process.returncode == 0, ended.process.stderr
            check_equal(expected, out)

    shutil.rmtree(out)
    with ThreadPoolExecutor(1) as pool, fault(f"SIGKILL: a job of a {name}"):
        command = pool.submit(case.start, victims, prepared, out)
        lock = wait_for(out, f"{RUNS[name]}/**/.lock", command)
        wait_for(lock.parent, rng.choice([".lock", "config.yaml", "checkpoints/last.ckpt"]), command)
        os.kill(holder(lock.parent), signal.SIGKILL)
        ended = command.result()
        assert ended.process.returncode == 1, ended.process.stderr
        assert "it was ended by SIGKILL" in ended.process.stderr
        assert "Traceback" not in ended.process.stderr
        ended = case.start(victims, prepared, out)
        assert ended.process.returncode == 0, ended.process.stderr
        check_equal(expected, out)
