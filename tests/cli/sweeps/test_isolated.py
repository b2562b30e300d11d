"""A job of a sweep runs in a process of its own."""

import json
import pickle
from contextlib import nullcontext

import pytest

from skinlab.cli.sweeps import sweep as sweeps
from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.isolated import run_isolated
from skinlab.cli.sweeps.job_log import keep_error, keep_time
from skinlab.cli.sweeps.sweep import FAILED_VALUE, Sweep, ending_in_table
from skinlab.errors import UserError
from skinlab.processes.later import PAGES_MISSING
from skinlab.processes.signals import Stopped


@pytest.mark.parametrize(("mode", "message"), [("min", 0.4), ("max", -0.4)])
def test_the_monitored_figure_comes_back_the_larger_the_worse(hydra_of, ended, tmp_path, mode, message):
    ended(0)
    (tmp_path / "metrics.json").write_text(json.dumps({"best/monitor": 0.4, "best/mode": mode}))
    assert run_isolated("train", hydra_of(tmp_path), Sweep(), {}) == message


@pytest.mark.parametrize("value", ["NaN", "Infinity", "null"])
def test_a_metric_that_is_no_number_is_the_worst_value(hydra_of, ended, tmp_path, value):
    ended(0)
    (tmp_path / "metrics.json").write_text(f'{{"best/monitor": {value}, "best/mode": "min"}}')
    assert run_isolated("train", hydra_of(tmp_path), Sweep(), {}) == FAILED_VALUE


@pytest.mark.parametrize("direction", ["maximize", ["minimize", "MAXIMIZE"]])
def test_a_sweeper_that_would_look_for_the_worst_job_is_refused(hydra_of, ended, tmp_path, direction):
    hydra, started = hydra_of(tmp_path), ended(0)
    hydra.sweeper["direction"] = direction
    with pytest.raises(UserError, match=r"hydra\.sweeper\.direction=maximize would search for the worst"):
        run_isolated("train", hydra, Sweep(), {})
    assert not started


def test_a_job_is_started_alone_and_free_of_former_ranks(hydra_of, ended, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    directory = tmp_path / "lr=0.1,it's"
    started = ended(0)
    assert run_isolated("train", hydra_of(directory), Sweep(), {}) == FAILED_VALUE
    ((command, environment),) = started
    assert command[1:4] == ["-m", "skinlab.train", "loss=focal"]
    assert "LOCAL_RANK" not in environment
    assert (environment["WANDB_RUN_GROUP"], environment["WANDB_TAGS"]) == (tmp_path.name, "sweep,loss=focal")
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([command[4]])
    assert override.key_or_group == "hydra.run.dir"
    assert override.value() == str(directory)


@pytest.mark.parametrize(("codes", "of_sweep"), [((2, 2), 2), ((2, 1), 1), ((0, -9), 1)])
def test_failed_jobs_fail_a_plain_sweep_at_its_end(hydra_of, ended, tmp_path, codes, of_sweep):
    sweep = Sweep()
    keep_error(tmp_path, "no such class")
    for code in codes:
        ended(code)
        run_isolated("train", hydra_of(tmp_path), sweep, {})
    with pytest.raises(JobFailedError) as failed, ending_in_table("train", sweep):
        pass
    assert failed.value.code == of_sweep
    reason = "it was ended by SIGKILL (out of memory?)" if codes[1] < 0 else "no such class"
    line = str(failed.value)
    assert f"{reason} (log: {tmp_path / 'log.txt'})" in line
    assert ("job 4 (loss=focal): " in line) == (0 in codes)
    assert line.startswith("all 2 jobs failed: no such class") == (0 not in codes)
    assert ("finished jobs are kept" in line) == (codes != (2, 2))  # the same mistake would be made again


def test_a_failed_job_of_a_cluster_fails_the_sweep_that_waits_for_it(hydra_of, ended, tmp_path):
    ended(2)
    keep_error(tmp_path, "no such class")
    sweep = Sweep(remedy="to go on: THIS")
    with pytest.raises(JobFailedError) as failed:
        run_isolated("train", hydra_of(tmp_path, launcher="submitit_launcher.SlurmLauncher"), sweep, {})
    passed_on = pickle.loads(pickle.dumps(failed.value))
    assert (str(passed_on), passed_on.code) == (str(failed.value), 2)
    assert "job 4 (loss=focal): no such class" in str(passed_on)
    assert str(passed_on).endswith("; to go on: THIS")


def test_a_job_of_a_cluster_that_is_stopped_is_reported_as_failed(hydra_of, ended, tmp_path):
    ended(143)
    hydra = hydra_of(tmp_path, launcher="submitit_launcher.SlurmLauncher")
    with pytest.raises(JobFailedError, match="it was stopped from outside"):
        run_isolated("train", hydra, Sweep(), {})


def test_an_optimiser_gets_the_worst_value_instead(hydra_of, ended, tmp_path):
    ended(1)
    optuna = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"
    assert run_isolated("train", hydra_of(tmp_path, optuna), Sweep(), {}) == FAILED_VALUE


@pytest.mark.parametrize(("code", "of_sweep"), [(130, 130), (143, 143), (-15, 143)])
def test_a_stopped_job_ends_the_sweep_with_its_exit_code(hydra_of, ended, tmp_path, code, of_sweep):
    ended(code)
    with pytest.raises(Stopped, match=str(of_sweep)):
        run_isolated("train", hydra_of(tmp_path), Sweep(), {})


def test_a_sweep_that_is_started_again_starts_no_finished_job(hydra_of, ended, tmp_path, caplog):
    (tmp_path / "metrics.json").write_text(json.dumps({"best/monitor": 0.5, "best/mode": "max"}))
    started, sweep = ended(0), Sweep(total=4)
    assert run_isolated("train", hydra_of(tmp_path), sweep, {"seed": 1}) == -0.5
    assert len(started) == 1
    keep_time(tmp_path, {"seed": 1}, 65)
    again = Sweep(total=5)
    with caplog.at_level("INFO"):
        assert run_isolated("train", hydra_of(tmp_path), again, {"seed": 1}) == -0.5
    assert len(started) == 1
    assert caplog.messages == ["job 4 of 5: finished before in 1:05, loss=focal"]
    assert again.title(4) == "job 5 of 5, 1:05 left"
    run_isolated("train", hydra_of(tmp_path), again, {"seed": 2})  # another recipe
    assert len(started) == 2


@pytest.mark.parametrize("code", [0, 2])
def test_what_jobs_leave_is_made_at_the_end_also_of_those_that_had_finished_before(
    hydra_of, ended, tmp_path, monkeypatch, code
):
    sweep, made, config = Sweep(), {}, {"trainer": {"devices": 1}}
    for name in ("before", "now"):
        (tmp_path / name).mkdir()
        (tmp_path / name / PAGES_MISSING).touch()
        (tmp_path / name / "metrics.json").write_text("{}")
    keep_time(tmp_path / "before", config, 5)
    started = ended(0)
    with pytest.raises(JobFailedError, match="job 4") if code else nullcontext(), ending_in_table("train", sweep):
        for name in ("before", "now"):
            run_isolated("train", hydra_of(tmp_path / name), sweep, config)
        monkeypatch.setattr(sweeps, "make_pages", lambda left: made.update(left) or {tmp_path / "now": code})
    assert [environment.get("SKINLAB_PAGES_LATER") for _, environment in started] == ["1"]
    assert list(made) == [tmp_path / "before", tmp_path / "now"]
    assert made[tmp_path / "now"] == started[0][0]
    assert [job.returncode for job in sweep.jobs] == [0, code]


def test_the_jobs_after_the_first_finished_one_know_what_it_printed(hydra_of, ended, tmp_path, caplog):
    sweep, printed = Sweep(total=5), []
    for number, code in enumerate([1, 0, 0]):
        started, directory = ended(code), tmp_path / str(number)
        directory.mkdir()
        with caplog.at_level("INFO"):
            run_isolated("train", hydra_of(directory), sweep, {})
        printed.append(started[-1][1].get("SKINLAB_PRINTED"))
    assert printed == [None, None, str(tmp_path / "1")]
    assert (
        caplog.text.count(f"the next jobs print what {tmp_path / '1'} did not; all of it is in the files of each run")
        == 1
    )
