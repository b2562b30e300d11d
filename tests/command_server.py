"""Runs commands for the tests, each in a fork of a process that has imported torch and the package already.

A command started anew imports for seconds before it works or refuses. Requests come as lines of JSON on standard input,
and exit codes go back as lines on standard output.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn


class CommandServer:
    """Starts commands in forks of one process, one at a time.

    Args:
        script: the program of that process.
    """

    def __init__(self, script: str = __file__) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, command: str, overrides: Sequence[str], folder: Path, environment: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python -m skinlab.<command>`` in a folder, as :func:`subprocess.run` would."""
        outputs = [folder.with_name(f"{folder.name}.{name}") for name in ("stdout", "stderr")]
        request = {
            **{"command": command, "overrides": list(overrides), "folder": str(folder), "environment": environment},
            **{"outputs": list(map(str, outputs)), "timeout": timeout},
        }
        for path in outputs:
            path.touch()  # which a process that is killed at once would not have made
        code = int(self.answer(request))
        printed = [path.read_text() for path in outputs]
        for path in outputs:
            path.unlink()
        return subprocess.CompletedProcess([command, *overrides], code, *printed)

    def answer(self, request: dict[str, Any]) -> str:
        """Send a request and return the line that the process answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return self.process.stdout.readline()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def serve() -> None:
    """Answer requests until standard input ends."""
    import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            work(request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def import_everything() -> None:
    """Import what the commands do, so that their forks need not."""
    import albumentations  # noqa: F401
    import cv2
    import matplotlib.pyplot  # noqa: F401
    import sklearn.metrics  # noqa: F401
    import torch

    import skinlab.commands.bundle
    import skinlab.commands.ensemble
    import skinlab.commands.mine
    import skinlab.commands.predict
    import skinlab.commands.pretrain
    import skinlab.commands.study
    import skinlab.commands.train
    import skinlab.commands.tta  # noqa: F401

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def work(request: dict[str, Any]) -> NoReturn:
    """Run a command in this fork, and end it."""
    code: Any = 1
    try:
        for number, path in zip((1, 2), request["outputs"], strict=True):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.alarm(int(request["timeout"]) + 1)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv[1:] = request["overrides"]
        runpy.run_module(f"skinlab.{request['command']}", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as error:
        code = error.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    serve()
