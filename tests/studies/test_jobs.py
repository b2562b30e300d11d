"""The jobs of a study: their order, their states, and what follows a failure, a signal or an interrupt."""

import logging
import subprocess
import time
from pathlib import Path

import pytest

from skinlab.processes.later import PAGES_MISSING
from skinlab.studies.jobs import BLOCKED, DONE, FAILED, STOPPED, State, command_line, run_jobs, time_left
from skinlab.studies.plan import Job


def job(name: str, after: str | None = None, command: str = "train") -> Job:
    return Job(name, command, (), 100, 10, after)


def run_fakes(tmp_path: Path, jobs: list[Job], start, n_parallel: int = 1) -> dict[str, State]:
    states = {each.name: State() for each in jobs}
    by_name = {each.name: each for each in jobs}
    run_jobs(by_name, states, tmp_path / "runs", start=start, n_parallel=n_parallel, changed=lambda: None)
    return states


def leave(tmp_path: Path, name: str) -> list[str]:
    run = tmp_path / "runs" / name
    return ["sh", "-c", f"mkdir -p {run}/predictions; touch {run}/metrics.json {run}/predictions/test.csv"]


def test_finished_runs_are_skipped_and_a_failure_stops_only_what_needs_it(tmp_path):
    subprocess.run(leave(tmp_path, "done"), check=True)
    started = []

    def start(each: Job) -> list[str]:
        started.append(each.name)
        return ["sh", "-c", "echo 'error: no room'; exit 2"] if each.name == "bad" else leave(tmp_path, each.name)

    jobs = [
        job("done"),
        job("bad", command="pretrain"),
        job("needs", after="bad"),
        job("last", after="needs"),
        job("x"),
    ]
    states = run_fakes(tmp_path, jobs, start)
    assert {name: each.state for name, each in states.items()} == {
        "done": DONE,
        "bad": FAILED,
        "needs": BLOCKED,
        "last": BLOCKED,
        "x": DONE,
    }
    assert started == ["bad", "x"]
    assert states["bad"].reason == "no room"
    assert states["needs"].reason == "bad has failed"


def test_pages_that_runs_have_left_are_made_at_the_end(tmp_path, monkeypatch, caplog):
    subprocess.run(leave(tmp_path, "before"), check=True)
    (tmp_path / "runs/before" / PAGES_MISSING).touch()
    made: dict[Path, list[str]] = {}

    def make(left: dict[Path, list[str]]) -> dict[Path, int]:
        made.update(left)
        return {tmp_path / "runs/now": 2}

    def start(each: Job) -> list[str]:
        *head, script = leave(tmp_path, each.name)
        return [*head, f"{script} {tmp_path}/runs/{each.name}/{PAGES_MISSING}"]

    monkeypatch.setattr("skinlab.studies.jobs.make_pages", make)
    states = run_fakes(tmp_path, [job("before"), job("now")], start)
    assert list(made) == [tmp_path / "runs/before", tmp_path / "runs/now"]
    assert [each.state for each in states.values()] == [DONE, DONE]
    assert f"{tmp_path}/runs/now has no report" in caplog.text


def test_while_a_run_goes_on_there_is_a_line_now_and_then_without_a_terminal(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("skinlab.studies.jobs.FIRST_LINE", 0)
    run_fakes(tmp_path, [job("a")], lambda each: leave(tmp_path, each.name))
    assert [record.message.partition(" in ")[0] for record in caplog.records] == [
        "0/1 runs: a",
        "1/1 runs: a done",
    ]


def test_a_run_that_leaves_nothing_has_failed(tmp_path):
    assert run_fakes(tmp_path, [job("a")], lambda _: ["true"])["a"].state == FAILED


@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_a_terminated_run_is_stopped_and_not_failed(tmp_path, signal):
    jobs = [job("a"), job("needs", after="a"), job("x")]
    states = run_fakes(
        tmp_path, jobs, lambda each: ["sh", "-c", f"kill -{signal} $$"] if each.name == "a" else leave(tmp_path, "x")
    )
    assert [each.state for each in states.values()] == [STOPPED, BLOCKED, DONE]
    assert "stopped" in states["needs"].reason


def test_runs_go_side_by_side_and_wait_for_what_they_need(tmp_path):
    times: dict[str, float] = {}

    def start(each: Job) -> list[str]:
        times[each.name] = time.monotonic()
        command = leave(tmp_path, each.name)
        return [*command[:2], f"sleep 0.3; touch {tmp_path}/runs/{each.name}.pt; {command[2]}"]

    run_fakes(tmp_path, [job("a"), job("b"), job("c", after="a")], start, n_parallel=3)
    assert times["b"] - times["a"] < 0.25
    assert times["c"] - times["a"] > 0.29


def test_an_interrupt_ends_the_runs_which_then_resume(tmp_path):
    def interrupted() -> None:
        if states["a"].state == "running":
            raise KeyboardInterrupt

    states = {"a": State()}
    with pytest.raises(KeyboardInterrupt):
        run_jobs(
            {"a": job("a")},
            states,
            tmp_path / "runs",
            start=lambda _: ["sleep", "60"],
            n_parallel=1,
            changed=lambda: interrupted(),
        )
    assert states["a"].state == "waiting"
    assert run_fakes(tmp_path, [job("a")], lambda each: leave(tmp_path, each.name))["a"].state == DONE


def test_the_time_left_is_that_of_the_images_left():
    jobs = {name: job(name) for name in "abc"}
    states = {"a": State(DONE, 50.0), "b": State(), "c": State(DONE, 0.0)}
    assert time_left(jobs, states, 1) == pytest.approx(50)
    assert time_left(jobs, states, 2) == pytest.approx(25)
    assert time_left(jobs, {name: State() for name in jobs}, 1) is None


def test_a_launcher_gets_the_same_overrides_as_a_sweep_of_one(tmp_path):
    one = Job("A_b1", "train", ("seed=0",), 1, 1)
    alone, swept = command_line(one, tmp_path), command_line(one, tmp_path, "submitit_slurm")
    assert alone[1:] == ["-m", "skinlab.train", "seed=0", f"hydra.run.dir='{tmp_path}/A_b1'"]
    assert swept[1:6] == ["-m", "skinlab.train", "-m", "hydra/launcher=submitit_slurm", "seed=0"]
    assert swept[6:] == [f"hydra.sweep.dir='{tmp_path}'", "hydra.sweep.subdir='A_b1'"]
