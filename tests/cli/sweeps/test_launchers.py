"""Jobs of launchers are added to the sweep."""

import json
import sys
from types import SimpleNamespace

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from skinlab.cli.config import compose_config, register_resolvers
from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.job import JobResult
from skinlab.cli.sweeps.job_log import keep_time
from skinlab.cli.sweeps.launchers import CollectingLauncher, collecting_jobs
from skinlab.cli.sweeps.sweep import FAILED_VALUE, Sweep, ending_in_table

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class MissingError(Exception):
    """Stands for submitit's UncompletedJobError."""


class ClusterJob:
    """A job of a cluster that ended, without a result where the cluster ended it."""

    def __init__(self, result, state):
        self.result, self.state, self.paths = result, state, SimpleNamespace(stderr="/cluster/7_log.err")

    def results(self):
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result]


def launch_on_cluster(tmp_path, monkeypatch, jobs, sweep):
    """Hand jobs to a launcher of which some end without a result; returns what the sweeper gets."""
    core = SimpleNamespace(Job=ClusterJob, utils=SimpleNamespace(UncompletedJobError=MissingError))
    for name in ("submitit", "submitit.core"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    monkeypatch.setitem(sys.modules, "submitit.core.core", core)
    register_resolvers()
    folder = f"hydra.sweep.dir={tmp_path}"
    config = compose_config("train", [folder], with_hydra=True)
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.launcher = {"_target_": "submitit_launcher.SlurmLauncher", "timeout_min": 60}

    def load(_, overrides):
        cfg = compose_config("train", [folder, *overrides], with_hydra=True)
        OmegaConf.set_readonly(cfg.hydra, False)
        return cfg

    inner = SimpleNamespace(launch=lambda *_: [job.results()[0] for job in jobs])

    def begin(_):
        sweep.remedy = "to go on: THIS"

    launcher = CollectingLauncher(inner, SimpleNamespace(load_sweep_config=load), config, sweep, begin)
    return launcher.launch([[f"seed={i}"] for i in range(len(jobs))], 0)


def test_a_sweep_of_a_launcher_ends_in_the_table_and_names_each_job_that_the_cluster_ended(
    tmp_path, monkeypatch, capsys
):
    def finished(number, value):
        folder = tmp_path / str(number)
        folder.mkdir()
        content = {"best/monitor": value, "best/mode": "max", "best/epoch": 3, "monitor": "val/x"}
        (folder / "metrics.json").write_text(json.dumps(content))
        keep_time(folder, {}, 65.0)
        return JobReturn(status=JobStatus.COMPLETED, _return_value=-value)

    failed = JobResult(2, tmp_path / "1", ["seed=1"], 2, 5.0, "no counts")
    returned = [finished(0, 0.25), JobReturn(status=JobStatus.FAILED)]
    returned[1].return_value = JobFailedError.of([failed], "x")
    late = JobReturn(
        status=JobStatus.FAILED, _return_value=MissingError("not requeued because: timed-out too many times.")
    )
    jobs = [ClusterJob(each, "COMPLETED") for each in (*returned, late)]
    jobs += [ClusterJob(MissingError("no output"), "CANCELLED by 7"), ClusterJob(finished(4, 0.5), "COMPLETED")]
    sweep = Sweep()
    with pytest.raises(JobFailedError) as error, ending_in_table("train", sweep):
        returned = launch_on_cluster(tmp_path, monkeypatch, jobs, sweep)
    assert [each.return_value for each in returned] == [-0.25, *[FAILED_VALUE] * 3, -0.5]
    assert str(error.value) == (
        "3 of 5 jobs failed: job 2 (seed=1): no counts; job 3 (seed=2): it reached the time limit of its launcher "
        "(hydra.launcher.timeout_min=60); its output: /cluster/7_log.err; job 4 (seed=3): it ended without a result "
        "(state CANCELLED); its output: /cluster/7_log.err; finished jobs are kept; to go on: THIS"
    )
    assert error.value.code == 1
    printed = capsys.readouterr().out
    assert "2 of 5 jobs finished, the best by val/x first" in printed
    assert printed.index("seed=4") < printed.index("seed=0") < printed.index("exit code 2")
    assert "1:05" in printed
    assert f"skinlab.evaluate predictions={tmp_path}" in printed.replace("\n", "")
    assert ClusterJob.results.__name__ == "results"


def test_another_error_of_a_launcher_is_not_hidden(tmp_path, monkeypatch):
    bug = JobReturn(status=JobStatus.FAILED, _return_value=ValueError("a bug"))
    (returned,) = launch_on_cluster(tmp_path, monkeypatch, [ClusterJob(bug, "COMPLETED")], Sweep())
    with pytest.raises(ValueError, match="a bug"):
        _ = returned.return_value


def test_only_launchers_that_run_jobs_elsewhere_are_collected(monkeypatch):
    made = object()
    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *_, **__: made)

    def instantiated(target):
        hydra = SimpleNamespace(launcher={"_target_": target})
        with collecting_jobs(Sweep(), print):
            of_sweep = {"config": SimpleNamespace(hydra=hydra), "hydra_context": SimpleNamespace(config_loader=None)}
            return Plugins.instance().instantiate_launcher(**of_sweep, task_function=print)

    assert instantiated(BASIC) is made
    assert instantiated("JoblibLauncher").launcher is made
    assert Plugins.instance().instantiate_launcher() is made
