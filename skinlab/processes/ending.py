"""End a command's process once its exit handlers have run, without Python's teardown of every object."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending_without_teardown(module: str) -> Iterator[None]:
    """End this process right after its exit handlers if the block returns or exits with a code.

    Python's teardown collects the objects of torch and matplotlib several times: two seconds of a core, which are
    twenty on a busy machine, after the last line. After another exception it is left to Python.

    Args:
        module: of the command; nothing is done where it is not the main program, such as in a test, and in a forked
            job, which ends so anyway.
    """
    codes: list[int] = []

    def end() -> None:
        if codes:
            logging.shutdown()
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            except OSError:  # Python's teardown reports it
                return
            os._exit(codes[0])

    spec = sys.modules["__main__"].__spec__
    if spec is not None and spec.name == module and multiprocessing.parent_process() is None:
        atexit.register(end)  # before other modules register handlers: the first one runs last
    try:
        yield
        codes.append(0)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            codes.append(error.code or 0)
        raise
