"""Matplotlib figures as inline SVG with the page's colours and fonts."""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

N_SERIES = 6
# Colours that no chart would use, each standing for one of the page's own.
INK, SOFT, LINE, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES = tuple(f"#0505{i:02x}" for i in range(1, N_SERIES + 1))
THEME = {INK: "currentColor", SOFT: "var(--soft)", LINE: "var(--line)", PAPER: "var(--paper)"} | {
    colour: f"var(--s{i})" for i, colour in enumerate(SERIES, start=1)
}
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a class may be named $
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "xtick.major.pad": 6,
    "ytick.major.pad": 5,
    "ytick.major.size": 0,
    "svg.fonttype": "none",  # letters stay text, set in the page's own font
    "svg.hashsalt": "skinlab",  # the same figure gives the same file
}


def inline_svg(figure: Figure, name: str, label: str) -> Markup:
    """Return the figure as an ``<svg>`` element, to be drawn within ``rc_context(STYLE)``.

    Args:
        figure: whose colours are those of ``THEME``.
        name: unique in the page; ids inside begin with it.
        label: what a screen reader says in its place.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    root = ElementTree.fromstring(stream.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith("}metadata") or (child.tag.endswith("}defs") and not len(child)):
                parent.remove(child)
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', stream.getvalue()))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {key.rpartition("}")[2]: _value(text, name) for key, text in element.attrib.items()}
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
    view = root.get("viewBox", "")
    width, height = view.split()[2:]
    root.attrib = {"viewBox": view, "width": width, "height": height, "role": "img", "aria-label": label}
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=True))


def _value(text: str, name: str) -> str:
    """Translate an attribute: theme colours, the page's font, ids of this figure, fewer digits."""
    text = re.sub(r"#0[0-9a-f]{5}\b", lambda match: THEME.get(match[0], match[0]), text)
    text = re.sub(r"font: (?:\w+ )*?([\d.]+px)[^;]*", r"font-size: \1", text)
    text = re.sub(r"^#|(?<=url\()#", f"#{name}-", text)
    return re.sub(r"(\d+\.\d\d)\d+", r"\1", text)
