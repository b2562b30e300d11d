"""Collect the jobs of launchers, which run them elsewhere: on a cluster, or side by side."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, open_dict

from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.job import JobResult
from skinlab.cli.sweeps.job_log import read_seconds
from skinlab.cli.sweeps.optuna_sweeper import OptunaSweeper
from skinlab.cli.sweeps.sweep import FAILED_VALUE, Sweep, is_plain, runs_here

log = logging.getLogger(__name__)


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

    instantiate_sweeper = Plugins.instantiate_sweeper

    def searching(self: Plugins, **of_sweep: Any) -> Sweeper:
        settings = of_sweep["config"].hydra.sweeper
        if str(settings["_target_"]) != f"{OptunaSweeper.__module__}.{OptunaSweeper.__name__}":
            return instantiate_sweeper(self, **of_sweep)
        sweeper = OptunaSweeper(sweep, settings)
        sweeper.setup(**of_sweep)
        return sweeper

    # Hydra has no hook for what a launcher returns, and takes sweepers from packages named hydra_plugins only.
    with (
        _replaced(Plugins, "instantiate_launcher", collecting),
        _replaced(Plugins, "instantiate_sweeper", searching),
    ):
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
        self.sweep.folder, self.sweep.optimises = str(hydra.sweep.dir), not is_plain(hydra.sweeper)
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

    with _replaced(core.Job, "results", kept):
        yield


@contextmanager
def _replaced(owner: type, name: str, method: Callable[..., Any]) -> Iterator[None]:
    """Replace a method of another package's class for a while."""
    own = getattr(owner, name)
    setattr(owner, name, method)
    try:
        yield
    finally:
        setattr(owner, name, own)
