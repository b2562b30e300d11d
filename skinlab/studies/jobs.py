"""Run the jobs of a study as processes: finished ones are skipped, and a failed one does not stop the others."""

from __future__ import annotations

import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from skinlab.errors import UserError
from skinlab.files import wait_until_free
from skinlab.json_files import read_json
from skinlab.processes import jobs as processes
from skinlab.processes.jobs import end_jobs, signal_in_words, start_job
from skinlab.processes.later import LEAVING, leaves_pages, make_pages
from skinlab.processes.progress import FIRST_LINE, NEXT_LINE
from skinlab.processes.signals import stop_code
from skinlab.settings.recorded import is_finished
from skinlab.studies.plan import Job, quoted

log = logging.getLogger(__name__)

WAITING, RUNNING, DONE, FAILED, BLOCKED = "waiting", "running", "done", "failed", "blocked"
STOPPED = "stopped"  # by a signal from outside; it goes on where it saved last
POLL = 0.05  # seconds
# What a run of the command leaves when it is finished.
RESULTS = {"train": "predictions/test.csv", "pretrain": "backbone.safetensors"}

Start = Callable[[Job], list[str]]


@dataclass
class State:
    """How a job stands: ``seconds`` of all its legs, and why it failed."""

    state: str = WAITING
    seconds: float = 0.0
    reason: str = ""


@dataclass
class _Process:
    process: processes.Job
    started: float = field(default_factory=time.monotonic)


def command_line(job: Job, runs: Path, launcher: str | None = None) -> list[str]:
    """Return the command of a job; with a launcher it is a sweep of one, which Hydra hands to the cluster."""
    head = [sys.executable, "-m", f"skinlab.{job.command}"]
    if launcher is None:
        return [*head, *job.overrides, f"hydra.run.dir={quoted(runs / job.name)}"]
    place = [f"hydra.sweep.dir={quoted(runs)}", f"hydra.sweep.subdir={quoted(Path(job.name))}"]
    return [*head, "-m", f"hydra/launcher={launcher}", *job.overrides, *place]


def finished(job: Job, runs: Path) -> bool:
    """Return whether a run has left its results."""
    return is_finished(runs / job.name) and (runs / job.name / RESULTS[job.command]).is_file()


def run_jobs(
    jobs: Mapping[str, Job],
    states: Mapping[str, State],
    runs: Path,
    *,
    start: Start,
    n_parallel: int,
    changed: Callable[[], Any],
    fork: bool = False,
) -> None:
    """Run jobs to their end, up to ``n_parallel`` at a time.

    Args:
        jobs: by name; none waits for a later one.
        states: by name; changed in place.
        runs: folder of the runs; what they print goes into ``logs`` beside it.
        start: returns the command of a job.
        n_parallel: processes at a time.
        changed: called after every change of a state.
        fork: whether they may be forked, see :func:`skinlab.processes.jobs.start_job`.
    """
    for name, job in jobs.items():
        states[name].state, states[name].reason = (DONE, "") if finished(job, runs) else (WAITING, "")
    changed()
    running: dict[str, _Process] = {}
    try:
        with _Display(jobs, states, n_parallel) as display:
            while True:
                for name in [name for name, each in running.items() if each.process.poll() is not None]:
                    _end(jobs[name], states[name], running.pop(name), runs)
                    display.report(name)
                    changed()
                ready = _ready(jobs, states)
                for job in ready[: n_parallel - len(running)]:
                    running[job.name] = _begin(job, runs, start, fork=fork)
                    states[job.name].state = RUNNING
                    changed()
                if not running:
                    break
                display.show()
                time.sleep(POLL)
    finally:
        end_jobs(each.process for each in running.values())
        for name, each in running.items():  # interrupted: they resume where they saved last
            states[name].state, states[name].seconds = WAITING, states[name].seconds + _age(each)
        changed()
    left = [name for name, each in states.items() if each.state == DONE and leaves_pages(runs / name)]
    for run_dir in make_pages({runs / name: start(jobs[name]) for name in left}):
        log.warning("%s has no report (see its log.txt); the same command tries again", run_dir)


def _ready(jobs: Mapping[str, Job], states: Mapping[str, State]) -> list[Job]:
    """Return the jobs that may start, and mark those that never will."""
    found = []
    for name, job in jobs.items():
        before = states[job.after].state if job.after else DONE
        if states[name].state == WAITING and before in (FAILED, STOPPED, BLOCKED):
            ended = "was stopped" if before == STOPPED else "has failed"
            states[name].state, states[name].reason = BLOCKED, f"{job.after} {ended}"
        elif states[name].state == WAITING and before == DONE:
            found.append(job)
    return found


def _begin(job: Job, runs: Path, start: Start, *, fork: bool) -> _Process:
    wait_until_free(runs / job.name)
    return _Process(start_job(start(job), LEAVING if fork else None, output=_log_file(job, runs), fork=fork))


def _end(job: Job, state: State, ended: _Process, runs: Path) -> None:
    state.seconds += _age(ended)
    code = ended.process.wait()
    if code == 0 and finished(job, runs):
        state.state = DONE
    elif stop_code(code) is not None:
        state.state, state.reason = STOPPED, f"it was stopped from outside (exit code {stop_code(code)})"
    elif code < 0:
        state.state, state.reason = FAILED, signal_in_words(code)
    else:
        state.state = FAILED
        state.reason = _last_line(_log_file(job, runs)) or f"exit code {code}"


def _age(each: _Process) -> float:
    return time.monotonic() - each.started


def _log_file(job: Job, runs: Path) -> Path:
    path = runs.parent / "logs" / f"{job.name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((re.sub(r"^error: ", "", line.strip()) for line in reversed(lines) if line.strip()), "")


def time_left(jobs: Mapping[str, Job], states: Mapping[str, State], n_parallel: int) -> float | None:
    """Return the seconds left, from what finished runs of the same command took for an image; None before the first."""
    speeds: dict[str, float] = {}
    for command in {job.command for job in jobs.values()}:
        done = [name for name, job in jobs.items() if job.command == command and states[name].state == DONE]
        timed = [name for name in done if states[name].seconds > 0]
        images = sum(jobs[name].images for name in timed)
        if images:
            speeds[command] = sum(states[name].seconds for name in timed) / images
    if not speeds:
        return None
    usual = sum(speeds.values()) / len(speeds)
    open_jobs = [job for name, job in jobs.items() if states[name].state in (WAITING, RUNNING)]
    return sum(job.images * speeds.get(job.command, usual) for job in open_jobs) / n_parallel


def duration(seconds: float) -> str:
    """Return a duration as text.

    >>> duration(40), duration(5400), duration(9000)
    ('40 s', '90 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class _Display:
    """Shows a bar on a terminal, and a line a run everywhere."""

    def __init__(self, jobs: Mapping[str, Job], states: Mapping[str, State], n_parallel: int) -> None:
        self.jobs, self.states, self.n_parallel = jobs, states, n_parallel
        console = Console(stderr=True)
        columns = (TextColumn("{task.fields[counts]}"), BarColumn(), TextColumn("{task.description}"))
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        total = sum(job.images for job in jobs.values())
        self.task = self.progress.add_task("", total=max(total, 1), counts="")
        self.next_line = time.monotonic() + FIRST_LINE

    def __enter__(self) -> _Display:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def report(self, name: str) -> None:
        """Log how a run has ended."""
        state = self.states[name]
        ended = f"done in {duration(state.seconds)}" if state.state == DONE else f"{state.state}: {state.reason}"
        left = time_left(self.jobs, self.states, self.n_parallel)
        line = f"{self._counts()} runs: {name} {ended}" + (f"; about {duration(left)} left" if left else "")
        if self.progress.disable:
            log.info("%s", line)
        else:
            self.progress.console.print(line, highlight=False, markup=False)

    def show(self) -> None:
        """Update the bar."""
        done = sum(self.jobs[name].images for name, each in self.states.items() if each.state == DONE)
        now = ", ".join(name for name, each in self.states.items() if each.state == RUNNING)
        left = time_left(self.jobs, self.states, self.n_parallel)
        description = now + (f"; about {duration(left)} left" if left else "")
        if self.progress.disable and time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + NEXT_LINE
            log.info("%s runs: %s", self._counts(), description)
        self.progress.update(self.task, completed=done, description=description, counts=self._counts())

    def _counts(self) -> str:
        ended = sum(each.state not in (WAITING, RUNNING) for each in self.states.values())
        return f"{ended}/{len(self.jobs)}"


def read_states(path: Path) -> dict[str, dict[str, Any]]:
    """Return what a study's file says of its runs; nothing where there is none.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return {}
    remedy = "delete it to count the finished runs anew, or choose another output"
    content = read_json(path, "record of a study", {"runs": dict}, remedy=remedy, upgrade=_upgrade)
    runs: dict[str, Any] = content["runs"]
    for name, run in runs.items():
        if not isinstance(run, dict) or not isinstance(run.get("overrides"), list):
            raise UserError(f"{path} is damaged (its run {name} has no list of overrides); {remedy}")
    return runs


def _upgrade(study: dict[str, Any]) -> dict[str, Any]:
    """Rename the overrides of the runs in a file of format 1, where they were called words."""
    runs = study.get("runs")
    if study.get("format") != 1 or not isinstance(runs, dict):
        return study
    renamed = {
        name: {"overrides" if key == "words" else key: value for key, value in run.items()}
        for name, run in runs.items()
        if isinstance(run, dict)
    }
    return study | {"runs": runs | renamed}
