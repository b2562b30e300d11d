"""The charts of the report, each a small SVG that a phone shows at its full size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, PercentFormatter

from skinlab.report.svg import (
    INK,
    LINE,
    N_SERIES,
    PAPER,
    SOFT,
    STYLE,
    Floats,
    floats,
    inline_svg,
    new_axes,
    series,
)
from skinlab.report.wording import interval, shorten

AXES = {"roc": ("false-positive rate", "sensitivity"), "pr": ("recall", "precision")}
DOTTED, DASHED = (0, (1, 3)), (0, (4, 3))
WIDE, PANEL = 340, 184  # CSS pixels: a phone's width, and half of it
CURVES = 460, 330  # of learning curves
LETTERS = 0.055  # height of a name at the end of a line, as a share of the axis


def dots_chart(
    rows: Sequence[tuple[str, Any]], colours: Sequence[str], name: str, label: str, zero: bool = False
) -> Markup:
    """Draw a dot and its interval for each row, one below the other, each named above its dot.

    Args:
        rows: name and ``{"value", "low", "high"}``; ends or value may be missing.
        colours: one a row.
        name: unique in the page.
        label: what is shown, for a screen reader.
        zero: differences: a line at zero that is always in sight.
    """
    height = 28 + 38 * len(rows)
    with rc_context(STYLE):
        figure, axes = new_axes(WIDE, height, (12 / WIDE, 22 / height, 1 - 24 / WIDE, 1 - 26 / height))
        for y, ((words, found), colour) in enumerate(zip(rows, colours, strict=True)):
            value, low, high = _ends(found)
            axes.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
            axes.plot([value], [y], "o", color=colour, markersize=7.5, markeredgecolor=PAPER, markeredgewidth=1)
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            place["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}  # the grid stops at the letters
            axes.annotate(shorten(words, 60 if zero else 28), (0, y), (-6, 9), **place)
            if not zero:
                axes.annotate(interval(found), (1, y), (6, 9), ha="right", color=SOFT, **place)
        if zero:
            axes.axvline(0, color=INK, linewidth=0.9)
            axes.update_datalim([(0, 0)])
            axes.autoscale_view()
        axes.margins(x=0.08)
        axes.set_ylim(len(rows) - 0.6, -0.75)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.grid(axis="x")
        return inline_svg(figure, name, label)


def curve_chart(
    curve: Mapping[str, Any], kind: str, colour: str, chance: float | None, name: str, label: str
) -> Markup:
    """Draw a small ROC or precision-recall curve in its band.

    Args:
        curve: ``x``, ``y``, and ``low``, ``high`` if there is a band.
        kind: ``roc`` or ``pr``.
        colour: of the curve.
        chance: the prevalence, at which a PR curve without skill stays.
        name: unique in the page.
        label: what is shown, for a screen reader.
    """
    with rc_context(STYLE | {"font.size": 10.5}):
        figure, axes = new_axes(PANEL, PANEL, (0.19, 0.19, 0.77, 0.78))
        if kind == "roc":
            axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.9, linestyle=DOTTED)
        elif chance is not None:
            axes.axhline(chance, color=SOFT, linewidth=0.9, linestyle=DOTTED)
        _band(axes, curve, "x", "y", colour)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        axes.set_xticklabels(["0", ".5", "1"])
        axes.set_yticklabels(["0", ".5", "1"])
        axes.set_xlabel(AXES[kind][0], labelpad=2)
        axes.set_ylabel(AXES[kind][1], labelpad=2)
        axes.grid()
        return inline_svg(figure, name, label)


def reliability_chart(reliability: Mapping[str, Any], colour: str, name: str, label: str) -> Markup:
    """Draw accuracy against confidence, and the number of images in each bin."""
    confidence, accuracy = floats(reliability["confidence"]), floats(reliability["accuracy"])
    with rc_context(STYLE):
        figure, axes = new_axes(WIDE, 330, (0.14, 0.33, 0.83, 0.65))
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.9, linestyle=DASHED)
        if reliability.get("low") and reliability.get("high"):
            axes.vlines(confidence, floats(reliability["low"]), floats(reliability["high"]), color=colour, alpha=0.55)
        axes.plot(confidence, accuracy, "o", color=colour, markersize=6.5, markeredgecolor=PAPER)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
        axes.tick_params(labelbottom=False)
        axes.grid()
        below = figure.add_axes((0.14, 0.12, 0.83, 0.16), sharex=axes)
        if reliability.get("rows"):
            below.vlines(confidence, 0, floats(reliability["rows"]), color=colour, linewidth=7, alpha=0.55)
        below.set_ylim(0)
        below.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        below.set_ylabel("images")
        below.set_xlabel("confidence (probability of the predicted class)")
        figure.align_ylabels()
        return inline_svg(figure, name, label)


def calibration_chart(curve: Mapping[str, Any], colour: str, name: str, label: str) -> Markup:
    """Draw the observed share of positives against their probability, in its band."""
    with rc_context(STYLE):
        figure, axes = _plain_axes()
        most = max(*floats(curve["probability"]), *floats(curve["observed"]), 0.01)
        axes.plot([0, most], [0, most], color=SOFT, linewidth=0.9, linestyle=DASHED)
        _band(axes, curve, "probability", "observed", colour)
        axes.set(xlim=(0, most), ylim=(0, min(1.0, 1.2 * most)), xlabel="probability", ylabel="share of positives")
        return inline_svg(figure, name, label)


def decision_chart(decision: Mapping[str, Any], colour: str, name: str, label: str) -> Markup:
    """Draw the net benefit of the model over the threshold, beside treating all and treating none."""
    benefit = floats(decision["net_benefit"])
    with rc_context(STYLE):
        figure, axes = _plain_axes()
        axes.axhline(0, color=INK, linewidth=0.9)
        _band(axes, decision, "threshold", "net_benefit", colour)
        top = max(float(np.nanmax(benefit, initial=0)), 0.01)
        if decision.get("treat_all"):
            treat_all = floats(decision["treat_all"])
            axes.plot(floats(decision["threshold"]), treat_all, color=SOFT, linewidth=1.2, linestyle=DASHED)
            top = max(top, float(np.nanmax(treat_all, initial=0)))
        if decision.get("calibrated"):
            calibrated = floats(decision["calibrated"])
            axes.plot(floats(decision["threshold"]), calibrated, color=colour, linewidth=1.2, linestyle=":")
            top = max(top, float(np.nanmax(calibrated, initial=0)))
        axes.set(ylim=(-0.25 * top, 1.1 * top), xlabel="threshold probability", ylabel="net benefit")
        axes.margins(x=0)
        return inline_svg(figure, name, label)


def risk_coverage_chart(curve: Mapping[str, Any], colour: str, name: str, label: str) -> Markup:
    """Draw the error rate among the images kept, those of lowest confidence left out first."""
    with rc_context(STYLE):
        figure, axes = _plain_axes()
        axes.plot(floats(curve["coverage"]), floats(curve["risk"]), color=colour, linewidth=1.8)
        axes.set(xlim=(0, 1), xlabel="coverage (share of images kept)", ylabel="error rate")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        return inline_svg(figure, name, label)


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
        figure, axes = new_axes(*CURVES, (0.115, 0.14, 0.81, 0.83))
        ends, ticks = [], set()  # where each line ends: labelled images and value
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
            ends.append((line["labelled"][known[-1]], value[known[-1]]) if len(known) else (np.nan, np.nan))
            ticks |= {each for each in line["labelled"] if each is not None}
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(sorted(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{each:,.0f}" for each in sorted(ticks)])
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.margins(x=0.03)
        axes.set(xlabel="labelled images", ylabel=axis)
        axes.grid(color=LINE)
        _name_lines(axes, [words for words, _ in lines], ends)
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


def _name_lines(axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]]) -> None:
    """Write the name of each line where it ends: beside its last point, or to the right of the axes."""
    low, high = axes.get_ylim()
    last = max((x for x, _ in ends if np.isfinite(x)), default=np.nan)
    for end in {x for x, _ in ends if np.isfinite(x)}:
        here = [i for i, (x, _) in enumerate(ends) if x == end]
        heights = spread_out([(ends[i][1] - low) / (high - low) for i in here], LETTERS)
        x, units, shift = (1.012, "axes fraction", 0) if end == last else (end, "data", 7)
        for i, height in zip(here, heights, strict=True):
            style: Any = {"va": "center", "fontweight": "bold", "color": series(i), "annotation_clip": False}
            style |= {"xycoords": (units, "axes fraction"), "textcoords": "offset points"}
            axes.annotate(names[i], (x, height), (shift, 0), **style)


def _plain_axes() -> tuple[Figure, Axes]:
    figure, axes = new_axes(WIDE, 250, (0.16, 0.16, 0.8, 0.8))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(color=LINE)
    return figure, axes


def _band(axes: Axes, curve: Mapping[str, Any], x: str, y: str, colour: str) -> None:
    at = floats(curve[x])
    if curve.get("low") and curve.get("high"):
        axes.fill_between(at, floats(curve["low"]), floats(curve["high"]), color=colour, alpha=0.22, linewidth=0)
    axes.plot(at, floats(curve[y]), color=colour, linewidth=1.8)


def _ends(found: Any) -> Floats:
    """Return value, low and high, NaN where they are unknown."""
    ends = found if isinstance(found, Mapping) else {"value": found}
    return floats([ends.get(end) for end in ("value", "low", "high")])


def _bottom(heights: Floats, cluster: Sequence[int], least: float) -> float:
    return float(heights[list(cluster)].mean() - least * (len(cluster) - 1) / 2)


def _overlap(heights: Floats, lower: Sequence[int], upper: Sequence[int], least: float) -> bool:
    top = _bottom(heights, lower, least) + least * (len(lower) - 1)
    return _bottom(heights, upper, least) - top < least - 1e-9
