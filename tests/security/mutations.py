"""Strategies of hypothesis that damage a whole file: its bytes, or a value somewhere within its content."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

# Text that programs, shells, spreadsheets, pages, terminals or file systems may follow.
PAYLOADS = (
    *("../../escaped", "/tmp/escaped", "..\\escaped", "~/escaped", "file:///etc/passwd", "C:\\escaped", ".", ""),
    *("${oc.env:HOME}", "${oc.create:{_target_: os.system}}", "{{ 7 * 7 }}", "$(touch escaped)", "`touch escaped`"),
    *("=cmd|'/c calc'!A0", "+1+1", "-1", "@SUM(A1)", "<script>alert(1)</script>", '"><img src=x onerror=x>', "]]>"),
    *("\x1b[2J", "\x00", "\ud800", "\u202e", "\r\n", "a\nb", "\ufeff", "nan", "1e999", "9" * 400, "a" * 5000),
    *("!!python/object/apply:os.system [touch escaped]", "&a [*a]", "skinlab.processes.jobs.start_job", "2020-99-99"),
)
TOKENS = [text.encode("utf-8", "surrogatepass") for text in PAYLOADS]
TOKENS += [
    b"\xff",
    b"\x80\x04\x95",
    b"PK\x03\x04",
    b"[" * 3000,
    b"{" * 3000,
    b'"',
    b",",
    b";",
    b"\n",
    b"\t",
    b"\x00" * 64,
]

single = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(PAYLOADS),
)
values = st.recursive(
    single,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("_target_"), inner, max_size=3)
    ),
    max_leaves=5,
)
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 8), st.sampled_from(TOKENS) | st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Return the content with some bytes replaced: where (a share of its length), how many, and by what."""
    for place, length, new in changes:
        at = int(place * len(content))
        content = content[:at] + new + content[at + length :]
    return content


def places(node: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that lead to every value within containers."""
    yield here
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from places(value, (*here, key))


def replaced(content: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of the content with another value at a place."""
    if not place:
        return value
    changed = copy.copy(content)
    changed[place[0]] = replaced(content[place[0]], place[1:], value)
    return changed
