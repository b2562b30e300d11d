"""What a sweep learns from its jobs."""

import json
import pickle
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from skinlab.cli import sweeps
from skinlab.cli.config import compose_config, register_resolvers
from skinlab.cli.job_log import keep_error, keep_time, read_error, read_time
from skinlab.errors import UserError
from skinlab.processes import jobs as job_processes
from skinlab.processes.signals import Stopped

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def hydra_of(directory, sweeper="hydra._internal.core_plugins.basic_sweeper.BasicSweeper", launcher=BASIC):
    return SimpleNamespace(
        runtime=SimpleNamespace(output_dir=str(directory)),
        overrides=SimpleNamespace(task=["loss=focal"]),
        job=SimpleNamespace(num=3),
        sweep=SimpleNamespace(dir=str(directory.parent)),
        sweeper={"_target_": sweeper},
        launcher={"_target_": launcher},
    )


@pytest.fixture
def ended(monkeypatch):
    """Let jobs end with an exit code instead of running; returns what was started."""
    started = []

    def with_code(code):
        def start(command, env):
            started.append((command, env))
            return SimpleNamespace(returncode=code, wait=lambda: code)

        monkeypatch.setattr(job_processes.subprocess, "Popen", start)
        return started

    return with_code


@pytest.mark.parametrize(("mode", "message"), [("min", 0.4), ("max", -0.4)])
def test_the_monitored_figure_comes_back_the_larger_the_worse(ended, tmp_path, mode, message):
    ended(0)
    (tmp_path / "metrics.json").write_text(json.dumps({"best/monitor": 0.4, "best/mode": mode}))
    assert sweeps.run_isolated("train", hydra_of(tmp_path), sweeps.Sweep(), {}) == message


@pytest.mark.parametrize("direction", ["maximize", ["minimize", "MAXIMIZE"]])
def test_a_sweeper_that_would_look_for_the_worst_job_is_refused(ended, tmp_path, direction):
    hydra, started = hydra_of(tmp_path), ended(0)
    hydra.sweeper["direction"] = direction
    with pytest.raises(UserError, match=r"hydra\.sweeper\.direction=maximize would search for the worst"):
        sweeps.run_isolated("train", hydra, sweeps.Sweep(), {})
    assert not started


def test_a_job_is_started_alone_and_free_of_former_ranks(ended, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    directory = tmp_path / "lr=0.1,it's"
    started = ended(0)
    assert sweeps.run_isolated("train", hydra_of(directory), sweeps.Sweep(), {}) == sweeps.FAILED_VALUE
    ((command, environment),) = started
    assert command[1:4] == ["-m", "skinlab.train", "loss=focal"]
    assert "LOCAL_RANK" not in environment
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([command[4]])
    assert override.key_or_group == "hydra.run.dir"
    assert override.value() == str(directory)


@pytest.mark.parametrize(("codes", "of_sweep"), [((2, 2), 2), ((2, 1), 1), ((0, -9), 1)])
def test_failed_jobs_fail_a_plain_sweep_at_its_end(ended, tmp_path, codes, of_sweep):
    sweep = sweeps.Sweep()
    keep_error(tmp_path, "no such class")
    for code in codes:
        ended(code)
        sweeps.run_isolated("train", hydra_of(tmp_path), sweep, {})
    with pytest.raises(sweeps.JobFailedError) as failed, sweeps.ending_in_table("train", sweep):
        pass
    assert failed.value.code == of_sweep
    reason = "it was ended by SIGKILL (out of memory?)" if codes[1] < 0 else "no such class"
    line = str(failed.value)
    assert f"{reason} (log: {tmp_path / 'log.txt'})" in line
    assert ("job 4 (loss=focal): " in line) == (0 in codes)
    assert line.startswith("all 2 jobs failed: no such class") == (0 not in codes)
    assert ("finished jobs are kept" in line) == (codes != (2, 2))  # the same mistake would be made again


def test_a_failed_job_of_a_cluster_fails_the_sweep_that_waits_for_it(ended, tmp_path):
    ended(2)
    keep_error(tmp_path, "no such class")
    sweep = sweeps.Sweep(remedy="to go on: THIS")
    with pytest.raises(sweeps.JobFailedError) as failed:
        sweeps.run_isolated("train", hydra_of(tmp_path, launcher="submitit_launcher.SlurmLauncher"), sweep, {})
    passed_on = pickle.loads(pickle.dumps(failed.value))
    assert (str(passed_on), passed_on.code) == (str(failed.value), 2)
    assert "job 4 (loss=focal): no such class" in str(passed_on)
    assert str(passed_on).endswith("; to go on: THIS")


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

    launcher = sweeps.CollectingLauncher(inner, SimpleNamespace(load_sweep_config=load), config, sweep, begin)
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

    failed = sweeps.JobResult(2, tmp_path / "1", ["seed=1"], 2, 5.0, "no counts")
    returned = [finished(0, 0.25), JobReturn(status=JobStatus.FAILED)]
    returned[1].return_value = sweeps.JobFailedError.of([failed], "x")
    late = JobReturn(
        status=JobStatus.FAILED, _return_value=MissingError("not requeued because: timed-out too many times.")
    )
    jobs = [ClusterJob(each, "COMPLETED") for each in (*returned, late)]
    jobs += [ClusterJob(MissingError("no output"), "CANCELLED by 7"), ClusterJob(finished(4, 0.5), "COMPLETED")]
    sweep = sweeps.Sweep()
    with pytest.raises(sweeps.JobFailedError) as error, sweeps.ending_in_table("train", sweep):
        returned = launch_on_cluster(tmp_path, monkeypatch, jobs, sweep)
    assert [each.return_value for each in returned] == [-0.25, *[sweeps.FAILED_VALUE] * 3, -0.5]
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
    (returned,) = launch_on_cluster(tmp_path, monkeypatch, [ClusterJob(bug, "COMPLETED")], sweeps.Sweep())
    with pytest.raises(ValueError, match="a bug"):
        _ = returned.return_value


def test_only_launchers_that_run_jobs_elsewhere_are_collected(monkeypatch):
    made = object()
    monkeypatch.setattr(Plugins, "instantiate_launcher", lambda *_, **__: made)

    def instantiated(target):
        hydra = SimpleNamespace(launcher={"_target_": target})
        with sweeps.collecting_jobs(sweeps.Sweep(), print):
            of_sweep = {"config": SimpleNamespace(hydra=hydra), "hydra_context": SimpleNamespace(config_loader=None)}
            return Plugins.instance().instantiate_launcher(**of_sweep, task_function=print)

    assert instantiated(BASIC) is made
    assert instantiated("JoblibLauncher").launcher is made
    assert Plugins.instance().instantiate_launcher() is made


def test_a_job_of_a_cluster_that_is_stopped_is_reported_as_failed(ended, tmp_path):
    ended(143)
    hydra = hydra_of(tmp_path, launcher="submitit_launcher.SlurmLauncher")
    with pytest.raises(sweeps.JobFailedError, match="it was stopped from outside"):
        sweeps.run_isolated("train", hydra, sweeps.Sweep(), {})


def test_the_log_of_a_run_has_the_error_of_a_job_once(tmp_path):
    for _ in range(2):
        keep_error(tmp_path, "api_key=abc is wrong")
    assert read_error(tmp_path) == "api_key=*** is wrong"
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 1
    keep_error(tmp_path / "nowhere", "no folder")
    assert read_error(tmp_path / "nowhere") == ""


def test_a_failed_trial_fails_no_search_but_their_whole_does(tmp_path):
    job = sweeps.JobResult(1, tmp_path, ["seed=1"], 2, 1.0, "a mistake")
    sweep = sweeps.Sweep(optimises=True, jobs=[job, sweeps.JobResult(2, tmp_path, ["seed=2"], 0, 1.0)])
    with sweeps.ending_in_table("train", sweep):
        pass
    sweep.jobs.pop()
    with (
        pytest.raises(sweeps.JobFailedError, match=r"^job 1 \(seed=1\): a mistake"),
        sweeps.ending_in_table("train", sweep),
    ):
        pass


def test_an_optimiser_gets_the_worst_value_instead(ended, tmp_path):
    ended(1)
    optuna = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
    assert sweeps.run_isolated("train", hydra_of(tmp_path, optuna), sweeps.Sweep(), {}) == sweeps.FAILED_VALUE


@pytest.mark.parametrize(("code", "of_sweep"), [(130, 130), (143, 143), (-15, 143)])
def test_a_stopped_job_ends_the_sweep_with_its_exit_code(ended, tmp_path, code, of_sweep):
    ended(code)
    with pytest.raises(Stopped, match=str(of_sweep)):
        sweeps.run_isolated("train", hydra_of(tmp_path), sweeps.Sweep(), {})


@pytest.mark.parametrize(
    ("words", "total"),
    [
        (["loss=ce,focal", "seed=0,1,2"], 6),
        (["sweep=folds"], 5),
        (["sweep=folds", "data.fold=0,1", "seed=1"], 2),
        (["seed=range(0,4)"], 4),
        (["seed=1"], 1),
        (["experiment=four_cnns"], 4),
    ],
)
def test_the_jobs_are_counted(words, total):
    register_resolvers()
    assert sweeps.count_jobs("train", ["-m", *words]) == total


@pytest.mark.parametrize(("words", "folds"), [([], "0,1,2,3,4"), (["data.n_folds=3"], "0,1,2")])
def test_a_sweep_over_the_folds_has_as_many_jobs_as_folds(words, folds):
    register_resolvers()
    cfg = compose_config("train", ["sweep=folds", *words], with_hydra=True)
    assert dict(cfg.hydra.sweeper.params) == {"data.fold": folds}
    assert sweeps.count_jobs("train", ["-m", "sweep=folds", "seed=0,1", *words]) == 2 * len(folds.split(","))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "phantom_effnet_lite0_ce"),
        (["sampler=weighted", "finetune=lp_ft"], "phantom_effnet_lite0_ce_weighted_lp_ft"),
        (["experiment=four_cnns", "data.root=/"], "dsm2025_resnet18_ce_weighted"),
    ],
)
def test_the_name_of_a_run_directory_has_the_sampler_and_the_finetuning(words, name):
    register_resolvers()
    cfg = compose_config("train", words, with_hydra=True)
    HydraConfig.instance().set_config(cfg)
    try:
        assert cfg.hydra.run.dir.partition("_")[2].partition("_")[2] == name
    finally:
        HydraConfig.instance().cfg = None


def test_a_sweep_without_its_data_stops_before_the_first_job(run, tmp_path):
    done = run("train", "-m", "sweep=folds", "data.n_folds=2", "data=ham10000", "data.root=/nowhere/at/all")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: data.root=/nowhere/at/all is not a folder")
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_sweep_whose_data_are_no_such_data_set_stops_before_the_first_job(run, tmp_path):
    (tmp_path / "above" / "dsm2025" / "train" / "0").mkdir(parents=True)
    (tmp_path / "above" / "dsm2025" / "train" / "0" / "1.jpg").touch()
    done = run("train", "-m", "sweep=folds", "data.n_folds=2", "data=dsm2025", f"data.root={tmp_path / 'above'}")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert f"{tmp_path / 'above'}/train/0 holds no image" in line
    assert not list(tmp_path.rglob("config.yaml"))


def test_the_time_left_is_that_of_the_jobs_to_come(tmp_path):
    sweep = sweeps.Sweep(total=4)
    assert sweep.title(0) == "job 1 of 4"
    sweep.jobs.append(sweeps.JobResult(1, tmp_path, [], 0, 30))
    sweep.jobs.append(sweeps.JobResult(2, tmp_path, [], 0, 50))
    assert sweep.title(2) == "job 3 of 4, 1:20 left"
    assert sweeps.Sweep().title(2) == "job 3"


@pytest.mark.parametrize(("mode", "order"), [("max", ["focal", "ce", "ldam"]), ("min", ["ce", "focal", "ldam"])])
def test_a_sweep_ends_in_a_table_the_best_first(tmp_path, capsys, mode, order):
    sweep = sweeps.Sweep(3, str(tmp_path), remedy="to go on: THIS")
    for number, (loss, value, code) in enumerate([("ce", 0.25, 0), ("ldam", None, 2), ("focal", 0.5, 0)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        if value is not None:
            content = {"best/monitor": value, "best/mode": mode, "best/epoch": 3, "monitor": "val/x"}
            (folder / "metrics.json").write_text(json.dumps(content))
        reason = "no counts" if code else ""
        sweep.jobs.append(sweeps.JobResult(number + 1, folder, [f"loss={loss}", "seed=1"], code, 65.0, reason))
    with pytest.raises(sweeps.JobFailedError) as failed, sweeps.ending_in_table("train", sweep):
        pass
    assert str(failed.value) == (
        "1 of 3 jobs failed: job 2 (loss=ldam): no counts; finished jobs are kept; to go on: THIS"
    )
    assert failed.value.code == 2
    printed = capsys.readouterr().out
    assert "2 of 3 jobs finished, the best by val/x first" in printed
    assert sorted(order, key=lambda loss: printed.index(f"loss={loss}")) == order
    assert "seed=1" not in printed, "what all jobs share"
    assert "exit code 2" in printed
    assert "1:05" in printed
    assert f"skinlab.evaluate predictions={tmp_path} output={tmp_path}/evaluation" in printed


@pytest.mark.parametrize(
    ("monitor", "overrides", "warned"),
    [
        ("val/loss", ["loss=ce", "loss=focal"], True),
        ("val/loss", ["loss.gamma=1", "loss.gamma=2"], True),
        ("val/loss", ["seed=1", "seed=2"], False),
        ("val/pr_auc_macro", ["loss=ce", "loss=focal"], False),
    ],
)
def test_values_of_different_losses_are_not_compared(tmp_path, capsys, monitor, overrides, warned):
    content = {"best/monitor": 0.5, "best/mode": "min", "best/epoch": 3, "monitor": monitor}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    sweep = sweeps.Sweep(2, str(tmp_path), [sweeps.JobResult(1, tmp_path, [each], 0, 1.0) for each in overrides])
    with sweeps.ending_in_table("train", sweep):
        pass
    assert ("is each loss's own" in capsys.readouterr().out) == warned


def test_jobs_of_different_losses_are_in_the_order_of_their_balanced_accuracy(tmp_path, capsys):
    sweep = sweeps.Sweep(2, str(tmp_path))
    for number, (loss, value, accuracy) in enumerate([("focal", 0.1, 0.4), ("ce", 0.9, 0.6)]):
        content = {"best/monitor": value, "best/mode": "min", "best/epoch": 3, "monitor": "val/loss"}
        (tmp_path / str(number)).mkdir()
        content |= {"val/balanced_accuracy": accuracy}
        (tmp_path / str(number) / "metrics.json").write_text(json.dumps(content))
        sweep.jobs.append(sweeps.JobResult(number + 1, tmp_path / str(number), [f"loss={loss}"], 0, 1.0))
    with sweeps.ending_in_table("train", sweep):
        pass
    printed = capsys.readouterr().out
    assert "2 of 2 jobs finished, the best by val/balanced_accuracy first" in printed
    assert printed.index("loss=ce") < printed.index("loss=focal")
    assert "0.600" in printed
    assert "! val/loss is each loss's own: the order is by val/balanced_accuracy" in printed


def test_the_time_of_a_job_is_kept_with_its_config_once_it_has_finished(tmp_path):
    config = {"seed": 1, "run_dir": str(tmp_path)}
    keep_time(tmp_path, config, 61.5)
    assert read_time(tmp_path, config) is None
    (tmp_path / "metrics.json").write_text("{}")
    assert read_time(tmp_path, config) == 61.5
    assert read_time(tmp_path, config | {"seed": 2}) is None
    (tmp_path / ".unfinished").touch()
    assert read_time(tmp_path, config) is None


def test_a_sweep_that_is_started_again_starts_no_finished_job(ended, tmp_path, caplog):
    (tmp_path / "metrics.json").write_text(json.dumps({"best/monitor": 0.5, "best/mode": "max"}))
    started, sweep = ended(0), sweeps.Sweep(total=4)
    assert sweeps.run_isolated("train", hydra_of(tmp_path), sweep, {"seed": 1}) == -0.5
    assert len(started) == 1
    keep_time(tmp_path, {"seed": 1}, 65)
    again = sweeps.Sweep(total=5)
    with caplog.at_level("INFO"):
        assert sweeps.run_isolated("train", hydra_of(tmp_path), again, {"seed": 1}) == -0.5
    assert len(started) == 1
    assert caplog.messages == ["job 4 of 5: finished before in 1:05, loss=focal"]
    assert again.title(4) == "job 5 of 5, 1:05 left"
    sweeps.run_isolated("train", hydra_of(tmp_path), again, {"seed": 2})  # another recipe
    assert len(started) == 2


def test_a_stopped_sweep_prints_no_table(tmp_path, capsys):
    sweep = sweeps.Sweep(1, str(tmp_path), [sweeps.JobResult(1, tmp_path, [], 143, 1.0)])

    def stop():
        with sweeps.ending_in_table("train", sweep):
            raise Stopped(143)

    with pytest.raises(Stopped):
        stop()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_a_sweep_over_the_folds_has_one_number_of_folds(command):
    register_resolvers()
    with pytest.raises(UserError, match=r"data\.n_folds with several values and sweep=folds.*start a sweep for each"):
        sweeps.check_sweep(command, ["-m", "sweep=folds", "data.n_folds=3,5"])
    sweeps.check_sweep(command, ["-m", "sweep=folds", "data.n_folds=3", "seed=0,1"])
    sweeps.check_sweep(command, ["-m", "data.n_folds=3,5"])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["test=true", "data.fold=0,1", "seed=0,1"], ""),
        (["test=true", "sweep=folds"], ""),
        (["loss=ce,focal"], ""),
        (["test=true", "loss=ce,focal", "seed=0,1"], "jobs that differ in loss"),
        (["test=true,false", "optimizer.lr=0.1,0.2"], "jobs that differ in optimizer.lr"),
        (["test=true", "experiment=four_cnns"], "jobs that differ in model"),
    ],
)
def test_the_test_chooses_among_no_recipes(words, reason):
    register_resolvers()
    with pytest.raises(UserError, match=reason) if reason else nullcontext():
        sweeps.check_sweep("train", ["-m", *words])
