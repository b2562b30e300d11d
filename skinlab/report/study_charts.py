"""The learning curve of a study: a metric against the number of labelled images, one line per arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from skinlab.report.charts import DASHED
from skinlab.report.svg import LINE, N_SERIES, PAPER, STYLE, Floats, floats, inline_svg, new_axes, series

WIDTH, HEIGHT = 460, 330  # CSS pixels
LETTERS = 0.055  # height of a name at the end of a line, as a share of the axis


def efficiency_chart(
    lines: Sequence[tuple[str, Mapping[str, Sequence[float | None]]]], axis: str, name: str, label: str
) -> Markup:
    """Draw a metric against the number of labelled images, each arm in its band.

    Args:
        lines: name of an arm → ``labelled``, ``value``, ``low``, ``high``, one a budget.
        axis: name of the vertical axis.
        name: unique in the page.
        label: what is shown, for a screen reader.
    """
    with rc_context(STYLE):
        figure, axes = new_axes(WIDTH, HEIGHT, (0.115, 0.14, 0.81, 0.83))
        ends, ticks = [], set()
        for place, (_, line) in enumerate(lines):
            at, value, low, high = (floats(line[key]) for key in ("labelled", "value", "low", "high"))
            style: Any = DASHED if place >= N_SERIES else "-"
            if len(at) == 1:  # no room for a band: bars side by side
                at = at * 1.02 ** (place - (len(lines) - 1) / 2)
                axes.vlines(at, low, high, color=series(place), linewidth=2.2)
            axes.fill_between(at, low, high, color=series(place), alpha=0.09, linewidth=0)
            axes.plot(at, value, color=series(place), linewidth=1.8, linestyle=style)
            axes.plot(at, value, "o", color=series(place), markersize=5.5, markeredgecolor=PAPER)
            known = np.flatnonzero(np.isfinite(value))
            ends.append((at[known[-1]], value[known[-1]]) if len(known) else (np.nan, np.nan))
            ticks |= {each for each in line["labelled"] if each is not None}
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{each:,.0f}" for each in sorted(ticks)])
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.margins(x=0.03)
        axes.set(xlabel="labelled images", ylabel=axis)
        axes.grid(color=LINE)
        low_end, high_end = axes.get_ylim()
        heights = spread_out([(y - low_end) / (high_end - low_end) for _, y in ends], LETTERS)
        for place, ((words, _), height) in enumerate(zip(lines, heights, strict=True)):
            if np.isfinite(height):
                style = {"xycoords": "axes fraction", "va": "center", "fontweight": "bold", "color": series(place)}
                axes.annotate(words, (1.012, height), annotation_clip=False, **style)
        return inline_svg(figure, name, label)


def spread_out(heights: Sequence[float], least: float) -> Floats:
    """Move heights apart, in one pass upwards, until neighbours are at least `least` apart.

    >>> spread_out([0.5, 0.5, 0.9], 0.1).round(2).tolist()
    [0.45, 0.55, 0.9]
    """
    found = np.array(heights, np.float64)
    order = [i for i in np.argsort(found, kind="stable") if np.isfinite(found[i])]
    clusters: list[list[int]] = []
    for i in order:
        clusters.append([i])
        while len(clusters) > 1 and _overlap(found, clusters[-2], clusters[-1], least):
            last = clusters.pop()
            clusters[-1] += last
    placed = found.copy()
    for cluster in clusters:
        placed[cluster] = _bottom(found, cluster, least) + least * np.arange(len(cluster))
    return placed


def _bottom(heights: Floats, cluster: Sequence[int], least: float) -> float:
    return float(heights[list(cluster)].mean() - least * (len(cluster) - 1) / 2)


def _overlap(heights: Floats, lower: Sequence[int], upper: Sequence[int], least: float) -> bool:
    top = _bottom(heights, lower, least) + least * (len(lower) - 1)
    return _bottom(heights, upper, least) - top < least - 1e-9
