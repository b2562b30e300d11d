"""What a sweep learns from its jobs."""

import pytest

from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.job import JobResult
from skinlab.cli.sweeps.sweep import Sweep, ending_in_table
from skinlab.processes.signals import Stopped


def test_a_failed_trial_fails_no_search_but_their_whole_does(tmp_path):
    job = JobResult(1, tmp_path, ["seed=1"], 2, 1.0, "a mistake")
    sweep = Sweep(optimises=True, jobs=[job, JobResult(2, tmp_path, ["seed=2"], 0, 1.0)])
    with ending_in_table("train", sweep):
        pass
    sweep.jobs.pop()
    with (
        pytest.raises(JobFailedError, match=r"^job 1 \(seed=1\): a mistake"),
        ending_in_table("train", sweep),
    ):
        pass


def test_the_time_left_is_that_of_the_jobs_to_come(tmp_path):
    sweep = Sweep(total=4)
    assert sweep.title(0) == "job 1 of 4"
    sweep.jobs.append(JobResult(1, tmp_path, [], 0, 30))
    sweep.jobs.append(JobResult(2, tmp_path, [], 0, 50))
    assert sweep.title(2) == "job 3 of 4, 1:20 left"
    assert Sweep().title(2) == "job 3"


def test_a_stopped_sweep_prints_no_table(tmp_path, capsys):
    sweep = Sweep(1, str(tmp_path), [JobResult(1, tmp_path, [], 143, 1.0)])

    def stop():
        with ending_in_table("train", sweep):
            raise Stopped(143)

    with pytest.raises(Stopped):
        stop()
    assert capsys.readouterr().out == ""
