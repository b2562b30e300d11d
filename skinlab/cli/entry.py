"""Run a command through Hydra and exit with its code; torch is imported only after the settings were checked."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from skinlab.cli.environment import check_environment, print_text, version_line
from skinlab.cli.launched import check_launch, refuse_launch
from skinlab.cli.registry import COMMANDS, call, list_settings
from skinlab.cli.system_errors import explain_os_error
from skinlab.errors import UserError
from skinlab.files import is_main_process
from skinlab.processes.cores import set_up_threads
from skinlab.processes.ending import ending_without_teardown
from skinlab.processes.jobs import PRINTED
from skinlab.processes.signals import SignalHandler, handling_signals
from skinlab.settings.secrets import masked
from skinlab.text import printable, printable_lines

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

    from skinlab.cli.sweeps.sweep import Sweep

log = logging.getLogger(__name__)


def run_command(name: str) -> None:
    """Run a command: compose its config, check it, then load and call the function that does the work.

    Exit code 0 only when the work was done; 2 for a user's mistake, reported in one line; 130 and 143 after SIGINT and
    SIGTERM; 1 for anything else.

    Args:
        name: of the command and its config, ``conf/<name>.yaml``.
    """
    sys.excepthook = lambda kind, error, place: _print_traceback(error)
    with ending_without_teardown(f"skinlab.{name}"), handling_signals() as handler:
        check_environment()
        if shown := _asked_for(name, sys.argv[1:]):
            print_text(shown)
            return
        _run(name, handler)


def _asked_for(name: str, words: list[str]) -> str | None:
    """Return the help or the version where the command line asks for it."""
    if "--version" in words:
        return version_line()
    flags = {"--help", "-h"} & set(words)
    if not flags:
        return None
    if any(word.startswith("plugins=") for word in words):
        from skinlab.cli.plugins import enable_plugins

        enable_plugins(words)
    from skinlab.cli.help import help_text

    try:
        return help_text(name, [word for word in words if word not in flags])
    except UserError as error:
        raise Refusal(str(error)) from None


def _run(name: str, handler: SignalHandler) -> None:
    import hydra  # here, once signals are answered: these imports take half a second
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import OmegaConfBaseException

    from skinlab.cli.command_line import composing_once, name_as_typed
    from skinlab.cli.conf import config_directory
    from skinlab.cli.config import explain, invocation, register_resolvers, resolved, settings_of
    from skinlab.cli.sweeps.failures import JobFailedError
    from skinlab.cli.sweeps.launchers import collecting_jobs
    from skinlab.cli.sweeps.sweep import Sweep, ending_in_table

    verbose, typed, sweep = _verbose(), sys.argv[1:], Sweep()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its exceptions on, and they are worded here
    register_resolvers()

    def refuse(error: Exception, line: str | None) -> NoReturn:
        if line is None:
            raise error
        raise Refusal(name_as_typed(line, typed, COMMANDS[name].aliases), verbose=verbose) from None

    begin = functools.partial(_begin, name, typed, handler, sweep)

    def job(cfg: DictConfig) -> float | None:
        begin(hydra_config := HydraConfig.get())
        with _leaving_no_empty_folder(Path(hydra_config.runtime.output_dir), is_job=handler.quiet):
            return work(cfg, hydra_config)

    def work(cfg: DictConfig, hydra_config: HydraConf) -> float | None:
        config: dict[str, Any] = {}
        try:
            is_run = hydra_config.mode == RunMode.RUN
            config = resolved(_single_run(name, cfg, hydra_config) if is_run else cfg)
            if not is_run:
                return _run_job_of_sweep(name, hydra_config, sweep, config)
            settings = settings_of(name, config)
            if not config.get("launcher"):  # a cluster's nodes have other cores than this machine
                set_up_threads(count_sharers(config))
            return cast("float | None", call(name, settings, invocation(name, sys.argv[1:])))
        except (UserError, OSError, RuntimeError) as error:
            handler.wait_for_rank_0()
            if isinstance(error, RuntimeError) or isinstance(error.__cause__, RuntimeError):  # a worker was lost
                handler.wait_for_group_signal()
            refuse(error, _one_line(error, config))

    try:
        sweep.total = _read_command_line(name)
        with ending_in_table(name, sweep), collecting_jobs(sweep, begin), composing_once(sys.argv[1:]):
            hydra.main(version_base="1.3", config_path=str(config_directory()), config_name=name)(job)()
    except JobFailedError as error:
        raise Refusal(str(error), error.code, verbose=verbose) from None
    except (HydraException, OmegaConfBaseException) as error:
        refuse(error, explain(error, name, sys.argv[1:]))
    except BrokenPipeError:  # `... --cfg job | head`
        raise _closed_pipe() from None
    except (UserError, OSError) as error:
        refuse(error, _one_line(error, dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)))


def _begin(name: str, typed: list[str], handler: SignalHandler, sweep: Sweep, hydra: HydraConf) -> None:
    """Prepare for a run, or for the jobs of a sweep: the command that goes on is known, and log lines are printed."""
    handler.remedy = sweep.remedy = _how_to_go_on(name, typed, hydra)
    log_to_terminal()
    if earlier := os.environ.get(PRINTED):
        from skinlab.cli.sweeps.repeats import not_printed

        logging.getLogger().handlers[0].addFilter(not_printed(Path(earlier), Path(hydra.runtime.output_dir)))


def _single_run(name: str, cfg: DictConfig, hydra: HydraConf) -> DictConfig:
    """Return the config of a command without ``-m``, as recorded where it goes on."""
    from skinlab.cli.continuing import continued
    from skinlab.cli.sweeps.checks import refuse_single_run

    refuse_single_run(hydra)
    check_launch(name, cfg, hydra.overrides.hydra)
    return continued(cfg, hydra.overrides.task, name)


def _run_job_of_sweep(name: str, hydra: HydraConf, sweep: Sweep, config: dict[str, Any]) -> float:
    """Run a job of a sweep; before the first one its settings are checked for all, and whether what they name exists.

    Returns:
        What the sweeper gets.
    """
    from skinlab.cli.config import settings_of
    from skinlab.cli.early_checks import check_early, check_readable
    from skinlab.cli.sweeps.isolated import run_isolated
    from skinlab.cli.sweeps.sweep import runs_here

    if not sweep.jobs and runs_here(hydra):
        settings = settings_of(name, config)
        check_early(name, settings)
        check_readable(name, settings)
    return run_isolated(name, hydra, sweep, config)


def _closed_pipe() -> SystemExit:
    """Return the end of a process whose output nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return SystemExit(0)


def _read_command_line(name: str) -> int | None:
    """Bring the command line into Hydra's form, enable the plugins that it names, and check a sweep as a whole.

    Returns:
        The number of jobs of a sweep; None where it is none, or its sweeper decides.
    """
    from skinlab.cli.command_line import prepare_command_line
    from skinlab.cli.config import refuse_bases
    from skinlab.cli.plugins import enable_plugins

    sys.argv[1:] = prepare_command_line(sys.argv[1:], _list_settings(name), COMMANDS[name].aliases)
    enable_plugins(sys.argv[1:])
    refuse_bases(name, sys.argv[1:])
    if {"-m", "--multirun"} & set(sys.argv):
        from skinlab.cli.sweeps.checks import check_sweep, count_jobs

        refuse_launch()
        check_sweep(name, sys.argv[1:])
        return count_jobs(name, sys.argv[1:])
    return None


def _list_settings(name: str) -> list[str]:
    """Return the settings whose ``A,B`` is a list and not a sweep."""
    sweep = bool({"-m", "--multirun"} & set(sys.argv))
    if sweep or not any("," in word or word.count("=") > 1 for word in sys.argv[1:]):
        return list(COMMANDS[name].lists) if sweep else []
    return list_settings(name)


def count_sharers(config: Mapping[str, Any]) -> int:
    """Return the number of processes that a command starts side by side: runs of a study, and the ranks of each."""
    devices = config.get("trainer", {}).get("devices", 1)
    ranks = len(devices) if isinstance(devices, list) else devices if isinstance(devices, int) else 1
    jobs = config.get("jobs", 1)
    return max(ranks, 1) * max(jobs, 1) if isinstance(jobs, int) else 1


def _verbose() -> bool:
    """Return whether tracebacks are wanted; takes ``-v`` from the command line, which Hydra doesn't know."""
    wanted = "-v" in sys.argv[1:] or os.environ.get("HYDRA_FULL_ERROR") == "1"
    sys.argv[:] = [word for i, word in enumerate(sys.argv) if i == 0 or word != "-v"]
    return wanted


class Refusal(SystemExit):
    """The end of a command with one line on standard error.

    Args:
        line: the mistake, the place and the remedy.
        code: exit code.
        verbose: whether the traceback of the error that is handled is printed, too.
    """

    def __init__(self, line: str, code: int = 2, *, verbose: bool = False) -> None:
        super().__init__(code)
        self.line = line
        if verbose and (error := sys.exception()):
            _print_traceback(error)
        print(f"error: {printable(masked(line))}", file=sys.stderr)


def _print_traceback(error: BaseException) -> None:
    """Print a traceback without secrets and control characters."""
    print(printable_lines(masked("".join(traceback.format_exception(error)))), end="", file=sys.stderr)


def _one_line(error: UserError | OSError | RuntimeError, settings: dict[str, Any]) -> str | None:
    """Return the line that reports an error, also one that a worker wrapped in its traceback; None for a bug."""
    if isinstance(error, OSError):
        return explain_os_error(error, settings)
    if isinstance(error, RuntimeError):  # torch's signal handler reports a killed worker wherever this process is
        from skinlab.processes.workers import lost_worker

        plain = lost_worker(error)
        return None if plain is None else str(plain)
    lines = str(error).strip().splitlines()
    line = lines[-1] if "Traceback (most recent call last):" in lines else " ".join(lines)
    return line.removeprefix(f"{UserError.__module__}.{UserError.__name__}: ")


class _Lines(logging.Formatter):
    """Formats log lines without control characters, which a file name may have and a terminal would follow."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a line, or several where the message has several."""
        return printable_lines(super().format(record))


class _Terminal(logging.StreamHandler[Any]):
    """Writes to what standard error is now: a progress bar takes its place, and prints lines above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        self.stream = sys.stderr
        super().emit(record)


def log_to_terminal() -> None:
    """Send log lines to standard error, plainly."""
    handler = _Terminal()
    handler.setFormatter(_Lines("%(levelname)s: %(message)s"))
    handler.addFilter(lambda record: record.levelno != logging.INFO or record.name.startswith("skinlab"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if is_main_process() else logging.ERROR)  # one voice of many ranks
    logging.captureWarnings(True)
    # What Lightning and torch warn of concerns their authors, or is reported better before the first epoch.
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|torch|torchmetrics|timm)\.")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)


@contextlib.contextmanager
def _leaving_no_empty_folder(directory: Path, *, is_job: bool) -> Iterator[None]:
    """Remove the run directory that Hydra made if nothing got into it; the lock of another process keeps it.

    A job of a sweep or study keeps it with the error.
    """
    try:
        yield
    except BaseException as error:
        if is_job and isinstance(error, Exception | Refusal):
            from skinlab.cli.sweeps.job_log import keep_error

            bug = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
            keep_error(directory, error.line if isinstance(error, Refusal) else bug)
        with contextlib.suppress(OSError):
            directory.rmdir()
        raise


def _how_to_go_on(name: str, typed: list[str], hydra: HydraConf) -> str:
    """Return the command that goes on after a signal; it names a run or sweep whose folder is named after the time."""
    is_sweep = str(hydra.mode).endswith("MULTIRUN")
    key, place = ("hydra.sweep.dir", hydra.sweep.dir) if is_sweep else ("hydra.run.dir", hydra.runtime.output_dir)
    known = place == "/" or any(word.startswith(f"{key}=") for word in hydra.overrides.hydra)
    words = [*typed, *(() if known else [f"{key}={place}"])]
    return f"to go on: {masked(shlex.join(['python', '-m', f'skinlab.{name}', *words]))}"
