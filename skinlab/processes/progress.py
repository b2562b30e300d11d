"""Show how far a long step is and how much time it has left: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from types import TracebackType
from typing import ParamSpec, TypeVar

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

log = logging.getLogger(__name__)

FIRST_LINE, NEXT_LINE = 10.0, 60.0  # seconds to the first line where there is no terminal, and from one to the next
EARLY = 0.15  # of a percentage, below which the time left is not known
INNER_BAR = 1.0  # seconds after which a step inside another one has a bar of its own
Item = TypeVar("Item")
Arguments = ParamSpec("Arguments")

_bars: list[Bars] = []  # what is on the screen, one object at most, with a line for each of the open steps
_open: list[Progress] = []  # the open steps, the innermost last


class Progress:
    """The progress of one step, as a context manager; steps may lie inside each other.

    A step inside another one is a part of the unit that the outer one is working on.

    Args:
        title: what is done, such as ``reading images``.
        total: number of units, such as images.
        done: units that were done before, in no time.
        visible: whether anything is shown.
        percent: whether it is shown in percent, and alone: the steps inside it are not.
    """

    def __init__(self, title: str, total: int, *, done: int = 0, visible: bool = True, percent: bool = False) -> None:
        self.title, self.total, self.done = title, max(total, 1), done
        self.within = 0.0  # units done of those in work, by the steps inside
        self.in_work = 1  # units
        self.before, self.started = done, time.monotonic()
        self.visible = visible and not int(os.environ.get("LOCAL_RANK") or 0)  # one bar of many ranks
        self.percent = percent
        self.task: TaskID | None = None

    def __enter__(self) -> Progress:
        self.started, self.next_line = time.monotonic(), time.monotonic() + FIRST_LINE
        self.owner = not _bars
        self.visible = self.visible and not any(step.percent for step in _open)
        _open.append(self)
        screen = Console(stderr=True, soft_wrap=True)  # a command that is printed meanwhile stays one line
        if self.visible and screen.is_terminal:
            if self.owner:
                _bars.append(_start(screen))
            self.task = _bars[0].add_task(
                self.title, total=self.total, completed=self.done, visible=self.owner, step=self
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.remove(self)
        if self.task is not None:
            _bars[0].remove_task(self.task)
            if self.owner:
                _bars.pop().stop()
            self.task = None

    def advance(self, n: int = 1, title: str | None = None) -> None:
        """Count units as done.

        Args:
            n: units.
            title: what is done now; None: as before.
        """
        self.done, self.title = self.done + n, title or self.title
        self.within = 0.0 if n else self.within
        for inner, outer in pairwise(reversed(_open)):
            outer.within = max(outer.within, outer.in_work * inner.units_done() / inner.total)
        for step in _open:
            step._show()

    def _show(self) -> None:
        if self.task is not None:
            shown = self.owner or time.monotonic() >= self.started + INNER_BAR
            _bars[0].update(self.task, completed=self.units_done(), description=self.title, visible=shown)
        elif self.visible and time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + NEXT_LINE
            log.info("%s: %s, %s", self.title, self.count(), self.left())

    def units_done(self) -> float:
        """Return the number of units done, with those of the unit in work that the steps inside have done."""
        return min(self.done + self.within, self.total)

    def count(self) -> str:
        """Return how much is done in words, such as ``100 of 1,000`` or ``37 %``."""
        if self.percent:
            return f"{int(100 * self.units_done() / self.total)} %"
        return f"{min(self.done, self.total):,} of {self.total:,}"

    def seconds_left(self) -> float | None:
        """Return the seconds left at the speed so far; None before anything is done."""
        done = self.units_done() - self.before
        return (time.monotonic() - self.started) / done * (self.total - self.units_done()) if done > 0 else None

    def left(self) -> str:
        """Return the time left in words, such as ``1:05 left``; the parts of a percentage take unequal times."""
        early = self.percent and self.units_done() < EARLY * self.total
        seconds = None if early else self.seconds_left()
        return "…" if seconds is None else f"{clock(seconds)} left"


def track(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """Yield items while their progress is shown.

    Args:
        items: to work on, one after the other.
        title: what is done with them.
        total: their number.
    """
    with Progress(title, total) as progress:
        for item in items:
            yield item
            progress.advance()


def counted(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, each a unit of the innermost open step once it is worked on."""
    for item in items:
        yield item
        if _open:
            _open[-1].advance()


def part(share: int) -> Callable[[Callable[Arguments, Item]], Callable[Arguments, Item]]:
    """Return a decorator of a function that is a part of a step: the innermost open step counts its share.

    Args:
        share: units of the step that it is.
    """

    def decorate(function: Callable[Arguments, Item]) -> Callable[Arguments, Item]:
        @functools.wraps(function)
        def shown(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Item:
            step = _open[-1] if _open else None
            if step is None:
                return function(*args, **kwargs)
            step.in_work = share
            result = function(*args, **kwargs)
            step.in_work = 1
            step.advance(share)
            return result

        return shown

    return decorate


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, or hours, minutes and seconds.

    >>> clock(5), clock(65.4), clock(3605)
    ('0:05', '1:05', '1:00:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Count(ProgressColumn):
    """How much is done, in units or in percent."""

    def render(self, task: Task) -> Text:
        step: Progress = task.fields["step"]
        return Text(step.count())


class _TimeLeft(ProgressColumn):
    """The time left at the speed so far, over the whole step and not its last seconds."""

    def render(self, task: Task) -> Text:
        step: Progress = task.fields["step"]
        return Text(f"{clock(time.monotonic() - step.started)}, {step.left()}")


def _start(screen: Console) -> Bars:
    columns = (TextColumn("{task.description}"), BarColumn(), _Count(), _TimeLeft())
    bars = Bars(*columns, console=screen, transient=True, refresh_per_second=4)
    bars.start()
    return bars
