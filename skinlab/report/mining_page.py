"""The page for the expert: images to label, labels to download, and statistics of the pool."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.ticker import MaxNLocator

from skinlab.report.charts import DASHED, WIDE
from skinlab.report.rendering import data_uri, render
from skinlab.report.svg import LINE, SOFT, STYLE, inline_svg, new_axes, series

PREFIX = "prob_"
LIKELIEST = 3  # classes whose probability stands at an image
WAYS = {"probability": "by probability", "uncertainty": "by uncertainty", "diversity": "diverse", "mixed": "mixed"}


def render_mining(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], pictures: Sequence[bytes]) -> str:
    """Return the whole page, which needs no other file and no network.

    Args:
        facts: what ``mine.json`` holds.
        rows: of ``mine.csv``, in their order.
        pictures: a JPEG a row.
    """
    script = (files("skinlab.report") / "templates" / "mining.js").read_text(encoding="utf-8").strip()
    found = facts.get("yield") or {}
    cards = [_card(row, picture, facts["classes"]) for row, picture in zip(rows, pictures, strict=True)]
    names = "\n".join([*facts["classes"], *(str(row["image_id"]) for row in rows)])
    return render(
        "mining.html.j2",
        facts=facts,
        pool=facts["pool"],
        share=facts["prevalence"],
        found=found,
        ways=WAYS,
        chart=yield_chart(found["curves"], facts["by"]) if found.get("curves") else None,
        hundred={name: _at_hundred(curve) for name, curve in (found.get("curves") or {}).items()},
        cards=cards,
        classes=facts["classes"],
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # Answers are kept in the browser under this name: those of another list never show up.
        key=hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:16],
    )


def yield_chart(curves: Mapping[str, Mapping[str, Any]], by: str) -> Markup:
    """Draw positives found against images inspected: the chosen order, others in thin lines, random order in a band.

    Args:
        curves: way → what :func:`skinlab.evaluation.mining.yield_curve` returned.
        by: the way that was chosen.
    """
    with rc_context(STYLE):
        figure, axes = new_axes(WIDE, 260, (0.13, 0.16, 0.83, 0.8))
        longest = max(curves.values(), key=lambda curve: len(curve["labelled"]))
        labelled = [0, *longest["labelled"]]
        low, high = ([0, *longest[name]] for name in ("random_low", "random_high"))
        axes.fill_between(labelled, low, high, color=SOFT, alpha=0.22, linewidth=0)
        axes.plot(labelled, [0, *longest["random"]], color=SOFT, linewidth=1.2, linestyle=DASHED)
        for place, (name, curve) in enumerate(curves.items()):
            width, depth = (2.4, 3) if name == by else (1.1, 2)
            line = [0, *curve["labelled"]], [0, *curve["found"]]
            axes.plot(*line, color=series(place), linewidth=width, zorder=depth)
        axes.set(xlabel="images labelled", ylabel="positives found")
        axes.set_xlim(0, labelled[-1])
        axes.set_ylim(0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(color=LINE)
        last = {name: f"{curve['found'][-1]} of {curve['labelled'][-1]}" for name, curve in curves.items()}
        words = "; ".join(f"{WAYS[name]} {found}" for name, found in last.items())
        return inline_svg(figure, "yield", f"Positives found: {words}; random {longest['random'][-1]:.1f}")


def _card(row: Mapping[str, Any], picture: bytes, classes: Sequence[str]) -> dict[str, object]:
    likeliest = sorted(classes, key=lambda name: -float(row[PREFIX + name]))[:LIKELIEST]
    return dict(row) | {
        "picture": data_uri(picture),
        "likeliest": [(name, float(row[PREFIX + name])) for name in likeliest],
    }


def _at_hundred(curve: Mapping[str, Any]) -> dict[str, object]:
    """Return a curve's values at a hundred images, or at its end if that comes sooner."""
    at = min(100, len(curve["labelled"])) - 1
    return {name: values[at] for name, values in curve.items()}
