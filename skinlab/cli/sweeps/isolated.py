"""Run the jobs of a multirun, each in a process of its own.

Run inside the sweep, a distributed job would start its other ranks with the whole sweep's command line, and leave its
rank variables behind for the next job (Lightning issues 11300 and 15737). On its own it can neither do that nor take
the rest of the sweep down.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf

from skinlab.cli.sweeps.failures import JobFailedError
from skinlab.cli.sweeps.job import JobResult, wandb_names
from skinlab.cli.sweeps.job_log import keep_time, read_time, reason_of
from skinlab.cli.sweeps.sweep import FAILED_VALUE, Sweep, is_plain, runs_here
from skinlab.errors import UserError
from skinlab.files import wait_until_free
from skinlab.json_files import read_json
from skinlab.processes.jobs import PRINTED, end_jobs, start_job
from skinlab.processes.later import LEAVING, leaves_pages
from skinlab.processes.progress import clock
from skinlab.processes.signals import Stopped, end_with, stop_code

log = logging.getLogger(__name__)

OUTPUT = "output.txt"  # of a job that runs beside others, whose lines would mix on the terminal
AGAIN = "finished jobs are kept: start it again with hydra.sweep.dir"


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
    _refuse_maximize(hydra)
    directory = Path(hydra.runtime.output_dir)
    wait_until_free(directory)
    sweep.folder, sweep.optimises = str(hydra.sweep.dir), not is_plain(hydra.sweeper)
    number, overrides = hydra.job.num + 1, list(hydra.overrides.task)
    command = [sys.executable, "-m", f"skinlab.{name}", *hydra.overrides.task, f"hydra.run.dir={_quoted(directory)}"]
    if (took := read_time(directory, config)) is not None:
        log.info("%s: finished before in %s, %s", sweep.title(hydra.job.num), clock(took), " ".join(overrides))
        sweep.jobs.append(JobResult(number, directory, overrides, 0, took))
        _note_left(sweep, directory, command)
        return _monitored(directory)
    log.info("%s in %s: %s", sweep.title(hydra.job.num), directory, " ".join(hydra.overrides.task))
    variables = wandb_names(sweep.folder, overrides) | ({PRINTED: str(sweep.printed)} if sweep.printed else {})
    if beside := os.getppid() == sweep.process:  # joblib's, whose workers would go on without the sweep
        end_with(sweep.process)
    fork = config.get("trainer", {}).get("devices") == 1 and runs_here(hydra)
    variables |= LEAVING if fork else {}
    output, started = directory / OUTPUT if beside else None, time.monotonic()
    job = start_job(command, variables, output=output, fork=fork)
    try:
        returncode = job.wait()
    finally:
        end_jobs([job] if job.returncode is None else [])
    seconds = time.monotonic() - started
    reason = reason_of(directory, returncode) if returncode else ""
    sweep.jobs.append(JobResult(number, directory, overrides, returncode, seconds, reason))
    if beside:
        log.info("job %d: %s", number, reason or f"finished in {clock(seconds)}")
    if returncode == 0:
        keep_time(directory, config, seconds)
        _note_left(sweep, directory, command)
        if sweep.printed is None and number != sweep.total and runs_here(hydra):
            log.info("the next jobs print what %s did not; all of it is in the files of each run", directory)
            sweep.printed = directory
        return _monitored(directory)
    if not runs_here(hydra):
        raise JobFailedError.of(sweep.jobs[-1:], sweep.remedy)  # to the process of the sweep, which knows no job
    if (code := stop_code(returncode)) is not None:
        message = f"job {number} ({' '.join(overrides)}) ended with exit code {returncode}"
        raise Stopped(code, f"{message}: it was stopped, and the sweep with it; {AGAIN}={hydra.sweep.dir}")
    log.warning("job %d failed", number)
    return FAILED_VALUE


def _refuse_maximize(hydra: HydraConf) -> None:
    if "maximize" in str(hydra.sweeper.get("direction")).lower():
        raise UserError(
            "hydra.sweeper.direction=maximize would search for the worst job: a job returns its monitored metric with "
            "the sign that makes smaller better; set hydra.sweeper.direction=minimize"
        )


def _note_left(sweep: Sweep, directory: Path, command: list[str]) -> None:
    if leaves_pages(directory):
        sweep.left[directory] = command


def _quoted(directory: Path) -> str:
    """Quote a path for Hydra's grammar, in which commas and equal signs have a meaning."""
    return "'" + str(directory).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _monitored(directory: Path) -> float:
    path = directory / "metrics.json"
    metrics: dict[str, Any] = read_json(path, "metrics of a run", {}) if path.exists() else {}
    value = metrics.get("best/monitor")
    if value is None or not math.isfinite(value):  # NaN would stop Optuna (Hydra issue 2237)
        return FAILED_VALUE
    return -float(value) if metrics.get("best/mode") == "max" else float(value)
