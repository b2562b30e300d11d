"""Progress of long steps: a line now and then without a terminal, the time left, parts, steps inside each other."""

import contextlib
import io
import logging
import os
import pty
import sys

import pytest

from skinlab.processes import progress
from skinlab.processes.progress import Progress, clock, counted, part, track


@pytest.fixture
def clock_at(monkeypatch):
    """Set the time of the module."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, seconds)


def test_without_a_terminal_there_is_a_line_now_and_then(clock_at, caplog):
    caplog.set_level(logging.INFO)
    with Progress("reading images", 1000) as step:
        for second in range(1, 81):
            clock_at(second)
            step.advance(10)
    assert [record.message for record in caplog.records] == [
        "reading images: 100 of 1,000, 1:30 left",
        "reading images: 700 of 1,000, 0:30 left",
    ]


def test_the_time_left_is_at_the_speed_of_this_process(clock_at):
    with Progress("epoch 6 of 10", 100, done=50) as step:
        assert step.left() == "…"
        clock_at(20)
        step.advance(10)
        assert step.seconds_left() == 80


def test_a_short_step_and_a_hidden_one_say_nothing(caplog, capsys):
    caplog.set_level(logging.INFO)
    assert list(track(range(3), "counting", 3)) == [0, 1, 2]
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_parts_belong_to_the_innermost_step():
    seen = []

    @part(30)
    def subgroups(value):
        for _ in track("abc", "each subgroup", 3):
            seen.extend(each.count() for each in progress._open[:1])
        return value

    assert subgroups(1) == 1, "without a step it is the function itself"
    seen.clear()
    with Progress("evaluating", 100, percent=True) as step, Progress("inner", 60) as inner:
        assert subgroups(2) == 2
        assert (inner.done, step.done) == (30, 0)
    with Progress("evaluating", 60, percent=True) as step:
        subgroups(3)
        assert step.count() == "50 %"
    assert seen == ["0 %", "0 %", "0 %", "0 %", "16 %", "33 %"]
    assert not progress._open


def test_a_step_in_percent_has_one_bar_and_the_time_left_of_all_steps_inside(clock_at, caplog):
    caplog.set_level(logging.INFO)
    with Progress("evaluating", 4, percent=True) as step:
        for n in range(1, 5):
            with Progress("bootstrap", 10):
                for _ in counted(range(10)):
                    clock_at(progress.time.monotonic() + 1)
            with Progress("jackknife", 2) as after:
                clock_at(progress.time.monotonic() + 1)
                after.advance()
                assert step.units_done() == n, "it never goes back"
            step.advance()
    assert [record.message for record in caplog.records] == ["evaluating: 25 %, 0:30 left"]


def test_a_bar_is_on_the_terminal_and_gone_after_an_error(monkeypatch, clock_at):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")

    def fail():
        with Progress("outer", 2), Progress("inner step", 20) as step:
            step.advance(1)
            assert [task.visible for task in progress._bars[0].tasks] == [True, False], "it may be over in no time"
            clock_at(2)
            step.advance(4, "inner step, part 2")
            assert [task.visible for task in progress._bars[0].tasks] == [True, True]
            assert len(progress._bars) == 1
            assert len(progress._bars[0].tasks) == 2
            progress._bars[0].refresh()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not progress._bars
    assert not progress._open
    assert sys.stderr is screen
    assert "inner step, part 2" in screen.getvalue()
    assert "5 of 20" in screen.getvalue()


def test_a_step_inside_another_shows_the_line_that_is_due_of_both(clock_at, caplog):
    caplog.set_level(logging.INFO)
    with Progress("evaluating", 100):
        clock_at(8)
        with Progress("samples", 20) as inner:
            clock_at(12)
            inner.advance(5)
            clock_at(20)
            inner.advance(5)
    assert [record.message for record in caplog.records] == [
        "evaluating: 0 of 100, 1:19:48 left",
        "samples: 10 of 20, 0:12 left",
    ]


def test_items_are_counted_by_the_innermost_step():
    assert list(counted("ab")) == ["a", "b"], "without a step they are the items themselves"
    with Progress("outer", 1) as outer, Progress("inner", 2) as inner:
        assert list(counted("ab")) == ["a", "b"]
        assert (outer.done, inner.done) == (0, 2)


def test_other_ranks_are_silent(monkeypatch, clock_at, caplog):
    monkeypatch.setenv("LOCAL_RANK", "1")
    caplog.set_level(logging.INFO)
    with Progress("reading", 10) as step:
        clock_at(100)
        step.advance(5)
    assert not caplog.records


def test_durations():
    assert [clock(each) for each in (0.2, 59.6, 3605)] == ["0:00", "1:00", "1:00:05"]


def test_a_command_that_is_printed_beside_a_bar_stays_one_line():
    """A terminal of 40 columns: a line that is broken could not be copied into a shell."""
    line = "to go on: " + "word " * 40 + "END"
    code = "import sys, time\nfrom skinlab.processes.progress import Progress\nwith Progress('reading', 1):\n"
    code += f"    print({line!r}, file=sys.stderr)\n"
    pid, screen = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", code], os.environ | {"COLUMNS": "40", "TERM": "xterm"})
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while chunk := os.read(screen, 4096):
            shown += chunk
    os.waitpid(pid, 0)
    assert line.encode() in shown
