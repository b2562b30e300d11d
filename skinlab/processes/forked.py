"""Fork jobs from one process that has imported what they need, by the standard library's forkserver."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from skinlab.processes.cores import set_up_threads
from skinlab.processes.signals import MESSAGES, PARENT

# What a training or pretraining imports. The process in which it is imported does nothing else: it starts no thread,
# asks for no GPU and opens no run directory. Its end comes first, as it is registered.
PRELOADED = (
    "skinlab.processes.forkserver_end",
    "hydra.main",
    "skinlab.cli.early_checks",
    "skinlab.cli.sweeps.isolated",
    "skinlab.cli.sweeps.launchers",
    "skinlab.commands.train",
    "skinlab.commands.pretrain",
    "skinlab.report.figures",
    "skinlab.report.page",
    "skinlab.report.card",
    "pytorch_grad_cam",
)

# pyarrow's allocator, which pandas imports, would start a thread, which a fork lacks.
NO_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}

_environments: list[dict[str, str]] = []  # with which that process was started


def can_fork(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Return whether a job can be forked instead of started anew.

    Args:
        command: of the job, one of skinlab's as a module.
        environment: of the job. Libraries read some variables when they are imported, so all are as in the first job.
    """
    main = getattr(sys.modules["__main__"].__spec__, "name", "")  # a job imports it again: a script would run again
    return (
        "forkserver" in multiprocessing.get_all_start_methods()
        and main.startswith("skinlab.")
        and list(command[:2]) == [sys.executable, "-m"]
        and (not _environments or _environments[0] == environment)
    )


class ForkedJob(ForkServerProcess):
    """A job, with the methods of :class:`subprocess.Popen` that jobs need.

    Args:
        command: of the job, see :func:`can_fork`.
        environment: of the job, without `variables`.
        variables: which no library reads when it is imported.
        output: file to which it appends what it prints, None for where this process prints.

    Raises:
        OSError: the process from which jobs are forked can't be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        variables: Mapping[str, str],
        output: Path | None = None,
    ) -> None:
        _, _, self.module, *self.arguments = command
        super().__init__(name=self.module)
        self.variables, self.output, self.folder = dict(variables), output, Path.cwd()
        _serve(environment)
        self.start()

    def run(self) -> None:
        """Run the command as the main program of this process."""
        from skinlab.processes.forkserver_end import end  # an import elsewhere would register it there

        atexit.unregister(end)
        gc.freeze()  # what was imported is no garbage, and looking for some in it takes a job half a second
        os.environ.update(self.variables | {PARENT: str(os.getppid())})
        os.chdir(self.folder)
        sys.path[0], sys.argv[1:] = str(self.folder), self.arguments
        if self.output is not None:
            file = os.open(self.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            for stream in (1, 2):
                os.dup2(file, stream)
            os.close(file)
        if numpy := sys.modules.get("numpy"):
            numpy.random.seed()  # Python does so itself in a fork
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MESSAGES)
        try:
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        finally:
            atexit._run_exitfuncs()  # multiprocessing leaves them out in a fork

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for the signal that ended it; None while it runs."""
        return self.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended after so many seconds.
        """
        self.join(timeout)
        if (code := self.exitcode) is None:
            raise subprocess.TimeoutExpired(self.module, timeout or 0.0)
        return code


def _serve(environment: Mapping[str, str]) -> None:
    """Start the process from which jobs are forked, if it does not run.

    A signal to the process group does not end it: it reports how its jobs end, and ends after them and this process.
    """
    before = dict(os.environ)
    forkserver.set_forkserver_preload(list(PRELOADED))
    resource_tracker.ensure_running()  # which unblocks signals
    signal.pthread_sigmask(signal.SIG_BLOCK, MESSAGES)  # which the process inherits
    try:
        os.environ.clear()
        os.environ.update({**environment, **NO_THREAD})
        set_up_threads()  # as a job does before its imports
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MESSAGES)
    _environments[:] = [dict(environment)]
