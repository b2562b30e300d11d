"""Whatever a file holds, it is read or refused in one line: nothing else is raised, run, or written elsewhere."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from skinlab.errors import UserError
from tests.security.mutations import edited, edits, places, replaced, values
from tests.security.parsers import PARSERS, Parser
from tests.security.watching import nothing_but_reading

EXAMPLES = 12  # a parser; `make fuzz` takes more


def read(parser: Parser, content: bytes) -> bool:
    """Read a file of this content; return whether it was taken, and not refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run" / parser.file
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        with nothing_but_reading(Path(folder)):
            try:
                parser.read(path)
            except UserError as error:
                assert str(error)  # noqa: PT017
                return False
        assert {each.name for each in Path(folder).iterdir()} == {"run"}
    return True


@st.composite
def damaged(draw: st.DrawFn, parser: Parser) -> bytes:
    """Draw the content of a damaged file."""
    content = parser.example()
    if parser.write is not None:
        there = list(places(content))
        for _ in range(draw(st.integers(1, 2))):
            place = draw(st.sampled_from(there))
            try:
                content = replaced(content, place, draw(values))
            except (KeyError, TypeError, IndexError):  # the place went with another one
                continue
        try:
            content = parser.write(content)
        except Exception:  # what its format can't hold
            content = parser.write(parser.example())
        return edited(content, draw(edits)) if draw(st.integers(0, 3)) == 0 else content
    return edited(content, draw(edits)) if draw(st.integers(0, 9)) else draw(st.binary(max_size=200))


def fuzz(name: str, n_examples: int) -> dict[str, int]:
    """Read damaged files of one kind; return how many were taken and refused."""
    parser, counts = PARSERS[name], {"taken": 0, "refused": 0}

    @settings(
        max_examples=n_examples,
        phases=(Phase.generate,),  # without a search for a shorter example
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(parser))
    def run(content: bytes) -> None:
        counts["taken" if read(parser, content) else "refused"] += 1

    run()
    return counts


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("skinlab"), "disabled", True)


@pytest.mark.parametrize("name", PARSERS)
def test_a_whole_file_is_read(name: str):
    parser = PARSERS[name]
    content = parser.example()
    assert read(parser, content if parser.write is None else parser.write(content)), "the fuzzed files would all be bad"


@pytest.mark.parametrize("name", PARSERS)
def test_a_damaged_file_is_read_or_refused(name: str):
    assert sum(fuzz(name, EXAMPLES).values()) >= EXAMPLES // 2
