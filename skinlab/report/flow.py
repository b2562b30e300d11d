"""The flow of images as a picture for the page and as text for the card: found, left out and why, split, evaluated."""

from __future__ import annotations

import textwrap

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from skinlab.evaluation.evidence.population_form import Flow, FlowPart
from skinlab.report.charts import WIDE
from skinlab.report.svg import INK, LINE, SOFT, STYLE, inline_svg, new_axes
from skinlab.report.wording import count
from skinlab.text import quantity

LINE_HEIGHT, PAD, GAP = 15, 8, 18  # CSS pixels
CHARACTERS = 46  # in a line of a box as wide as the picture
TRUNK, INDENT = 12, 30  # places of the line to the splits and of their boxes
NARROW = 0.5  # width of the boxes above those of the splits


def flow_sentences(flow: Flow | None, group: str = "group") -> list[str]:
    """Return the flow as sentences; ``group`` is what a group of images is called."""
    if not flow:
        return []
    lines = [f"{quantity(flow['found'], 'image')} found"]
    lines += [f"{count(n)} left out ({reason})" for reason, n in flow["left_out"].items()]
    first = f"{'; '.join(lines)}; {count(flow['kept'])} kept."
    return [first, *(": ".join(filter(None, [_title(part, group), _inside(part)])) + "." for part in flow["parts"])]


def flow_chart(flow: Flow, colour: str, name: str, group: str = "group") -> Markup:
    """Draw the flow from top to bottom, the images left out beside it and the splits below.

    Args:
        flow: of a system.
        colour: of the frame of what is evaluated.
        name: unique in the page.
        group: what a group of images is called.
    """
    left_out = [f"{count(n)} {reason}" for reason, n in flow["left_out"].items()] or ["none"]
    beside = ["left out:", *(line for each in left_out for line in textwrap.wrap(each, 22))]
    boxes = [
        [
            _title(part, group),
            *(line for words in (_classes(part), _never(part)) for line in textwrap.wrap(words, CHARACTERS)),
        ]
        for part in flow["parts"]
    ]
    heights = [_height(lines) for lines in boxes]
    top = _height(beside) + 2 * GAP
    total = 2 * _height([""]) + top + sum(heights) + GAP * len(boxes) + 4
    with rc_context(STYLE):
        figure, axes = new_axes(WIDE, total, (0, 0, 1, 1))
        axes.set(xlim=(0, WIDE), ylim=(total, 0))
        axes.set_axis_off()
        y, middle = 2.0, WIDE * NARROW / 2
        _box(axes, (1, y, WIDE * NARROW, _height([""])), [f"{quantity(flow['found'], 'image')} found"], INK)
        y += _height([""])
        _arrow(axes, (middle, y), (middle, y + top))
        _arrow(axes, (middle, y + top / 2), (WIDE * (NARROW + 0.06), y + top / 2))
        place = (WIDE * (NARROW + 0.06), y + GAP, WIDE * (0.94 - NARROW) - 1, _height(beside))
        _box(axes, place, beside, SOFT)
        y += top
        _box(axes, (1, y, WIDE * NARROW, _height([""])), [f"{quantity(flow['kept'], 'image')} kept"], INK)
        y += _height([""])
        start = y
        for part, lines, height in zip(flow["parts"], boxes, heights, strict=True):
            y += GAP
            _arrow(axes, (TRUNK, y + height / 2), (INDENT, y + height / 2))
            _box(axes, (INDENT, y, WIDE - INDENT - 1, height), lines, colour if part["evaluated"] else LINE)
            axes.plot([TRUNK, TRUNK], [start, y + height / 2], color=SOFT, linewidth=1.0)
            y += height
        return inline_svg(figure, name, "Flow of images: " + " ".join(flow_sentences(flow, group)))


def _title(part: FlowPart, group: str) -> str:
    groups = f", {quantity(part['groups'], group)}" if part["groups"] is not None else ""
    name = f"{part['name']}: " if part["name"] else ""
    return f"{name}{quantity(part['images'], 'image')}{groups}{' (evaluated)' if part['evaluated'] else ''}"


def _classes(part: FlowPart) -> str:
    return ", ".join(f"{name} {count(n)}" for name, n in part["classes"].items())


def _never(part: FlowPart) -> str:
    """Return which images of the pool no training uses."""
    left_out = part.get("left_out") or {}
    words = " and ".join(f"{count(n)} {reason}" for reason, n in left_out.items())
    return f"{words}: never trained on; {count(part['images'] - sum(left_out.values()))} left" if words else ""


def _inside(part: FlowPart) -> str:
    return "; ".join(filter(None, [_classes(part), _never(part)]))


def _height(lines: list[str]) -> float:
    return LINE_HEIGHT * len(lines) + 2 * PAD


def _box(axes: Axes, place: tuple[float, float, float, float], lines: list[str], colour: str) -> None:
    x, y, width, height = place
    thick = 1.2 if colour in (INK, SOFT, LINE) else 2.4
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=thick))
    for i, line in enumerate(lines):
        at = y + PAD + LINE_HEIGHT * (i + 0.5)
        axes.text(x + PAD, at, line, va="center", color=INK if i == 0 else SOFT, fontsize=10.5 if i == 0 else 9.5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": SOFT, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)
