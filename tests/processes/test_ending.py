"""A command's process ends after its exit handlers, without a teardown of its objects."""

import subprocess
import sys

import pytest

MODULE = """
import atexit, gc, logging, sys
from skinlab.processes.ending import ending_without_teardown

class Late:
    def __del__(self):
        print("teardown")

atexit.register(print, "handler before")
with ending_without_teardown(sys.argv[2]):
    atexit.register(print, "handler after")
    late = Late()
    late.circle = late
    print("last line")
    exec(sys.argv[1])
"""


@pytest.fixture
def end(tmp_path):
    (tmp_path / "work.py").write_text(MODULE)

    def run(code: str, module: str = "work", **arguments) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "work", code, module]
        environment = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"}
        return subprocess.run(line, **{"stdout": subprocess.PIPE} | arguments, check=False, text=True, env=environment)

    return run


@pytest.mark.parametrize(
    ("code", "returncode"), [("pass", 0), ("sys.exit()", 0), ("sys.exit(2)", 2), ("raise SystemExit(130)", 130)]
)
def test_only_exit_handlers_run_after_the_last_line(end, code, returncode):
    done = end(code)
    assert (done.returncode, done.stdout.splitlines()) == (returncode, ["last line", "handler after"])


@pytest.mark.parametrize(("code", "module"), [("1 / 0", "work"), ("pass", "other")])
def test_other_errors_and_other_main_programs_end_as_ever(end, code, module):
    done = end(code, module, stderr=subprocess.PIPE)
    assert done.returncode == (1 if module == "work" else 0)
    assert done.stdout.splitlines() == ["last line", "handler after", "handler before", "teardown"]


def test_an_output_that_cannot_be_written_is_reported(end):
    with open("/dev/full", "w") as full:
        done = end("pass", stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, "No space left" in done.stderr) == (120, True)
