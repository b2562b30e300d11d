"""Run the jobs of a multirun, each in a process of its own.

Run inside the sweep, a distributed job would start its other ranks with the whole sweep's command line, and leave its
rank variables behind for the next job (Lightning issues 11300 and 15737). On its own it can neither do that nor take
the rest of the sweep down.
"""

from __future__ import annotations

import importlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, open_dict

from skinlab.cli.config import compose_config
from skinlab.cli.job_log import keep_time, read_seconds, read_time, reason_of
from skinlab.cli.registry import settings_model
from skinlab.cli.sweep_table import JobFailedError, JobResult, print_table
from skinlab.errors import UserError
from skinlab.json_files import read_json
from skinlab.processes.jobs import end_jobs, start_job
from skinlab.processes.progress import clock
from skinlab.processes.signals import Stopped, stop_code
from skinlab.settings.base import is_among, names_that_may_differ

log = logging.getLogger(__name__)

# The value of a job that failed for an optimising sweeper: NaN stops Optuna (Hydra issue 2237).
FAILED_VALUE = 1e12
AGAIN = "finished jobs are kept: start it again with hydra.sweep.dir"


@dataclass
class Sweep:
    """The jobs of a sweep that have run in this process, in order.

    Attributes:
        total: number of jobs, None where the sweeper decides it.
        folder: of the sweep.
        jobs: that have ended.
        remedy: how the sweep goes on.
        optimises: whether its sweeper chooses the next job by the earlier ones, of which some may fail.
    """

    total: int | None = None
    folder: str = ""
    jobs: list[JobResult] = field(default_factory=list)
    remedy: str = ""
    optimises: bool = False

    def title(self, number: int) -> str:
        """Return which job it is, with the time left where earlier ones have taken some."""
        of_all = f" of {self.total}" if self.total else ""
        took = [job.seconds for job in self.jobs]
        left = f", {clock(sum(took) / len(took) * (self.total - number))} left" if took and self.total else ""
        return f"job {number + 1}{of_all}{left}"


@contextmanager
def ending_in_table(name: str, sweep: Sweep) -> Iterator[None]:
    """Print the table of a sweep's jobs at its end, also where some have failed; not where it was stopped.

    Raises:
        JobFailedError: a job has failed; where the sweeper optimises, all of them.
    """
    try:
        yield
    except Exception:
        if sweep.jobs:
            print_table(name, sweep.jobs, sweep.folder)
        raise
    if not sweep.jobs:
        return
    print_table(name, sweep.jobs, sweep.folder)
    failed = [job for job in sweep.jobs if job.returncode != 0]
    if failed and not (sweep.optimises and len(failed) < len(sweep.jobs)):
        raise JobFailedError.of(sweep.jobs, sweep.remedy)


def count_jobs(name: str, arguments: Sequence[str]) -> int | None:
    """Return the number of jobs of a sweep; None where its sweeper does not know it.

    Args:
        name: the command.
        arguments: its command line, flags included.
    """
    parser = OverridesParser.create()
    parsed = parser.parse_overrides([each for each in arguments if not each.startswith("-")])
    cfg = compose_config(name, [str(o.input_line) for o in parsed if not o.is_sweep_override()], with_hydra=True)
    if not _is_plain(cfg.hydra.sweeper):
        trials = cfg.hydra.sweeper.get("n_trials")
        return trials if isinstance(trials, int) else None
    named = {each.key_or_group for each in parsed}
    params = {key: value for key, value in (cfg.hydra.sweeper.get("params") or {}).items() if key not in named}
    swept = [*parsed, *parser.parse_overrides([f"{key}={value}" for key, value in params.items()])]
    return math.prod(len(list(each.sweep_iterator())) for each in swept if each.is_sweep_override())


def check_sweep(name: str, arguments: Sequence[str]) -> None:
    """Refuse a sweep that would choose among its jobs by the test, or over the folds of several splits.

    Args:
        name: the command.
        arguments: its command line, flags included.

    Raises:
        UserError: jobs that open the test differ in other settings than fold and seed, or the folds' number varies.
    """
    parsed = OverridesParser.create().parse_overrides([each for each in arguments if not each.startswith("-")])
    swept = {each.key_or_group for each in parsed if each.is_sweep_override()}
    cfg = compose_config(name, [str(o.input_line) for o in parsed if not o.is_sweep_override()], with_hydra=True)
    named = {each.key_or_group for each in parsed}
    params = {str(key) for key in cfg.hydra.sweeper.get("params") or {} if key not in named}
    if "data.fold" in params and "data.n_folds" in swept:
        raise UserError(
            "data.n_folds with several values and sweep=folds, whose jobs are the folds of one number: start a sweep "
            "for each, such as -m sweep=folds data.n_folds=3"
        )
    if name != "train":
        return
    swept |= params
    optimises = not _is_plain(cfg.hydra.sweeper)
    recipe = [key for key in swept if not is_among(key, names_that_may_differ(settings_model(name), "recipe"))]
    if (cfg.test or "test" in swept) and (recipe or optimises):
        what = f"jobs that differ in {', '.join(sorted(recipe))}" if recipe else "a sweeper that optimises"
        raise UserError(
            f"test=true with {what}: the best of them would be chosen by the test; leave test=true out, choose by the "
            "validation metrics, then open the test of that one: python -m skinlab.evaluate predictions=RUN split=test "
            "output=DIR"
        )


def run_isolated(name: str, hydra: HydraConf, sweep: Sweep, config: Mapping[str, Any]) -> float:
    """Run one job of a sweep as ``python -m skinlab.<name> <its overrides>`` in its directory of the sweep.

    Args:
        name: the command.
        hydra: Hydra's own config of the job.
        sweep: to which the job is added.
        config: of the job, resolved; one that has finished with it before is not started again.

    Returns:
        The monitored metric, larger being worse, as read back from the job's ``metrics.json``; of a failed job
        a larger value than any.

    Raises:
        UserError: the sweeper would look for the largest value, which is the worst.
        JobFailedError: the job failed or was stopped, and a launcher runs it elsewhere.
        Stopped: the job was terminated or interrupted; with it the sweep ends, with the same exit code.
    """
    if "maximize" in str(hydra.sweeper.get("direction")).lower():
        raise UserError(
            "hydra.sweeper.direction=maximize would search for the worst job: a job returns its monitored metric with "
            "the sign that makes smaller better; set hydra.sweeper.direction=minimize"
        )
    directory = Path(hydra.runtime.output_dir)
    sweep.folder, sweep.optimises = str(hydra.sweep.dir), not _is_plain(hydra.sweeper)
    number, overrides = hydra.job.num + 1, list(hydra.overrides.task)
    if (took := read_time(directory, config)) is not None:
        log.info("%s: finished before in %s, %s", sweep.title(hydra.job.num), clock(took), " ".join(overrides))
        sweep.jobs.append(JobResult(number, directory, overrides, 0, took))
        return _monitored(directory)
    command = [sys.executable, "-m", f"skinlab.{name}", *hydra.overrides.task, f"hydra.run.dir={_quoted(directory)}"]
    log.info("%s in %s: %s", sweep.title(hydra.job.num), directory, " ".join(hydra.overrides.task))
    job, started = start_job(command), time.monotonic()
    try:
        returncode = job.wait()
    finally:
        end_jobs([job] if job.returncode is None else [])
    seconds = time.monotonic() - started
    reason = reason_of(directory, returncode) if returncode else ""
    sweep.jobs.append(JobResult(number, directory, overrides, returncode, seconds, reason))
    if returncode == 0:
        keep_time(directory, config, seconds)
        return _monitored(directory)
    if not runs_here(hydra):
        raise JobFailedError.of(sweep.jobs[-1:], sweep.remedy)  # to the process of the sweep, which knows no job
    if (code := stop_code(returncode)) is not None:
        message = f"job {number} ({' '.join(overrides)}) ended with exit code {returncode}"
        raise Stopped(code, f"{message}: it was stopped, and the sweep with it; {AGAIN}={hydra.sweep.dir}")
    log.warning("job %d failed", number)
    return FAILED_VALUE


def runs_here(hydra: HydraConf) -> bool:
    """Return whether the jobs run in the process of the sweep, which refuses the first one's mistakes for all.

    Other jobs check their own settings: a launcher's process has to return an error, and must not exit.
    """
    return str(hydra.launcher["_target_"]).endswith("BasicLauncher")


@contextmanager
def collecting_jobs(sweep: Sweep, begin: Callable[[HydraConf], None]) -> Iterator[None]:
    """Add the jobs of launchers that run them elsewhere to a sweep, once all have ended.

    Args:
        sweep: of this process.
        begin: called with Hydra's config before jobs are handed over.
    """
    instantiate = Plugins.instantiate_launcher

    def collecting(self: Plugins, **of_sweep: Any) -> Launcher:
        launcher, config = instantiate(self, **of_sweep), of_sweep["config"]
        if runs_here(config.hydra):
            return launcher
        return CollectingLauncher(launcher, of_sweep["hydra_context"].config_loader, config, sweep, begin)

    with patch.object(Plugins, "instantiate_launcher", collecting):  # Hydra has no hook for what a launcher returns
        yield


class CollectingLauncher(Launcher):
    """Hands jobs to a launcher, and adds to the sweep how they ended; a failed one does not stop the sweeper.

    Args:
        launcher: that is set up.
        loader: of the configs of jobs.
        config: of the sweep.
        sweep: to which the jobs are added.
        begin: see :func:`collecting_jobs`.
    """

    def __init__(
        self, launcher: Launcher, loader: Any, config: DictConfig, sweep: Sweep, begin: Callable[[HydraConf], None]
    ) -> None:
        self.launcher, self.loader, self.config, self.sweep, self.begin = launcher, loader, config, sweep, begin

    def setup(self, **of_sweep: Any) -> None:
        """Set up the launcher."""
        self.launcher.setup(**of_sweep)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run jobs to their end and return how they ended; of a failed one the value is larger than any."""
        hydra = self.config.hydra
        self.sweep.folder, self.sweep.optimises = str(hydra.sweep.dir), not _is_plain(hydra.sweeper)
        self.begin(hydra)
        planned = [self._plan(each, initial_job_idx + i) for i, each in enumerate(job_overrides)]
        target = str(hydra.launcher["_target_"])
        log.info("jobs handed to %s: %d; their runs: %s", target.rpartition(".")[2], len(planned), hydra.sweep.dir)
        with _waiting_for_all(target, hydra.launcher.get("timeout_min")):
            returned = self.launcher.launch(job_overrides, initial_job_idx)
        for job, each in zip(planned, returned, strict=True):
            error = each._return_value
            if each.status == JobStatus.COMPLETED:
                self.sweep.jobs.append(replace(job, seconds=read_seconds(job.directory)))
            elif isinstance(error, JobFailedError):
                lost = replace(job, returncode=error.code, reason=str(error))
                self.sweep.jobs.append(error.jobs[0] if error.jobs else lost)
                each.status, each.return_value = JobStatus.COMPLETED, FAILED_VALUE
        return returned

    def _plan(self, overrides: Sequence[str], number: int) -> JobResult:
        """Return a job as if it had finished."""
        cfg, before = self.loader.load_sweep_config(self.config, list(overrides)), HydraConfig.instance().cfg
        with open_dict(cfg.hydra.job):
            cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
        HydraConfig.instance().set_config(cfg)
        try:
            directory = Path(cfg.hydra.sweep.dir, str(cfg.hydra.sweep.subdir)).absolute()
        finally:
            HydraConfig.instance().cfg = before
        return JobResult(number + 1, directory, list(cfg.hydra.overrides.task), 0, 0.0)


@contextmanager
def _waiting_for_all(launcher: str, minutes: int | None) -> Iterator[None]:
    """Let submitit wait for all jobs, where it would end at the first one that the cluster ended.

    Args:
        launcher: its class.
        minutes: its time limit.
    """
    if "submitit" not in launcher:
        yield
        return
    core = importlib.import_module("submitit.core.core")
    results = core.Job.results

    def kept(job: Any) -> list[JobReturn]:
        try:
            (found,) = results(job)
            error = found._return_value if found.status == JobStatus.FAILED else None
        except core.utils.UncompletedJobError as missing:
            found, error = JobReturn(status=JobStatus.FAILED), missing
        if isinstance(error, core.utils.UncompletedJobError):
            state = "TIMEOUT" if "timed-out" in str(error) else str(job.state).partition(" ")[0]
            reason = {
                "TIMEOUT": f"it reached the time limit of its launcher (hydra.launcher.timeout_min={minutes})",
                "OUT_OF_MEMORY": "it was out of memory (hydra.launcher.mem_gb)",
            }.get(state, f"it ended without a result (state {state})")
            found.return_value = JobFailedError(f"{reason}; its output: {job.paths.stderr}", 1)
        return [found]

    with patch.object(core.Job, "results", kept):
        yield


def _is_plain(sweeper: Any) -> bool:
    """Return whether a sweeper is Hydra's own, which knows all jobs from the start."""
    return str(sweeper["_target_"]).endswith("BasicSweeper")


def _quoted(directory: Path) -> str:
    """Quote a path for Hydra's grammar, in which commas and equal signs have a meaning."""
    return "'" + str(directory).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _monitored(directory: Path) -> float:
    path = directory / "metrics.json"
    metrics: dict[str, Any] = read_json(path, "metrics of a run", {}) if path.exists() else {}
    value = metrics.get("best/monitor")
    if value is None:
        return FAILED_VALUE
    return -float(value) if metrics.get("best/mode") == "max" else float(value)
