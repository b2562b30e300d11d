"""Matplotlib figures as inline SVG with the page's colours and fonts."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

N_SERIES = 6
# Colours that no chart would use, each standing for one of the page's own.
INK, SOFT, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0505{i:02x}" for i in range(1, N_SERIES + 1))
THEME = {INK: "currentColor", SOFT: "var(--soft)", LINE: "var(--line)", PAPER: "var(--paper)"} | {
    colour: f"var(--s{i})" for i, colour in enumerate(SERIES, start=1)
}
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # a system may be named by a folder
Floats = npt.NDArray[np.float64]


def chart_style(ink: str, soft: str, line: str) -> dict[Any, Any]:
    """Return matplotlib's settings that all charts share: text in two colours, lines to the left and below only."""
    return {
        "text.color": ink,
        "text.parse_math": False,  # a class may be named $
        "axes.labelcolor": soft,
        "axes.edgecolor": line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": soft,
        "ytick.color": soft,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }


STYLE = chart_style(INK, SOFT, LINE) | {
    "font.size": 10,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.major.pad": 6,
    "ytick.major.pad": 5,
    "svg.fonttype": "none",  # letters stay text, set in the page's own font
    "svg.hashsalt": "skinlab",  # the same figure gives the same file
}


def series(number: int) -> str:
    """Return the colour of a system; after the last the first comes again."""
    return SERIES[number % N_SERIES]


def floats(values: Sequence[float | None]) -> Floats:
    """Return an array with NaN for what is null."""
    return np.array(values, dtype=np.float64)


def new_axes(width: float, height: float, box: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """Return a figure whose SVG is so many CSS pixels large, and axes in it.

    Args:
        width: of the figure in CSS pixels.
        height: likewise.
        box: left, bottom, width and height of the axes as shares of the figure.
    """
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    return figure, figure.add_axes(box)


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """Return the figure as an ``<svg>`` element, to be drawn within ``rc_context(STYLE)``.

    Args:
        figure: whose colours are those of ``THEME``.
        name: unique in the page; ids inside begin with it.
        label: what a screen reader says in its place.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    drawn = NO_XML.sub("\ufffd", stream.getvalue())
    root = ElementTree.fromstring(drawn)
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith("}metadata") or (child.tag.endswith("}defs") and not len(child)):
                parent.remove(child)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', drawn))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: _value(text, name) for key, text in element.attrib.items()}
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
    view = root.get("viewBox", "")
    width, height = view.split()[2:]
    root.attrib = {
        "viewBox": view,
        "width": width,
        "height": height,
        "role": "img",
        "aria-label": NO_XML.sub("\ufffd", label),
    }
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


def _value(text: str, name: str) -> str:
    """Translate an attribute: theme colours, the page's font, ids of this figure, fewer digits."""
    text = re.sub(r"#0[0-9a-f]{5}\b", lambda match: THEME.get(match[0], match[0]), text)
    text = re.sub(r"font: (?:\w+ )*?([\d.]+px)[^;]*", r"font-size: \1", text)
    text = re.sub(r"^#|(?<=url\()#", f"#{name}-", text)
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", text)
