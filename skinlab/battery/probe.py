"""What a probe is: a question, how many predictions it takes, and a run that answers it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.model import Image
from skinlab.evaluation.shift.form import Condition, Flag, Table


class NotRunError(Exception):
    """A probe can't be run; the message says why and what to do, and is shown in its place."""


@dataclass(frozen=True)
class Shown:
    """A picture of a condition ``(H, W, 3)``, with its title and dose."""

    title: str
    dose: str
    pixels: Image


@dataclass
class Findings:
    """What a probe found.

    Attributes:
        reference: what the changes of its conditions are to, in words.
        conditions: in the order in which they are shown.
        flags: what breaks and what to watch; none where all holds.
        notes: sentences beside the table.
        tables: numbers beside the metrics of the conditions.
        pictures: of the conditions at every dose.
        outcome: what a probe that compares trainings says in the verdict; it flags nothing.
    """

    reference: str = ""
    conditions: list[Condition] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Shown] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)


class Probe(ABC):
    """A probe of the battery; its arguments are those of its YAML in ``conf/shift``.

    Attributes:
        title: in the report.
        question: that it answers.
        published: what others found, with the source, to compare with; "" where nothing is known.
    """

    title: ClassVar[str]
    question: ClassVar[str]
    published: ClassVar[str] = ""

    @abstractmethod
    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted, each alteration of one counted.

        Raises:
            NotRunError: what the probe needs is not there.
        """

    @abstractmethod
    def run(self, bench: Bench) -> Findings:
        """Return what the probe finds.

        Raises:
            NotRunError: the images don't allow it.
        """


def require_home(bench: Bench) -> ImageSet:
    """Return the images at home.

    Raises:
        NotRunError: there are none.
    """
    if bench.home is None:
        raise NotRunError("there are no images of the model's own kind: give a run, or home=RUN for a bundle")
    return bench.home
