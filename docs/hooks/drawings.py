"""Two drawings of the architecture: the flow from files to results, and the packages in their layers."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence
from html import escape
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tests.test_architecture import LAYERS, PACKAGE

WIDTH, MARGIN, GAP = 960, 16, 8
STYLE = "font-family='system-ui, sans-serif' fill='#1d2733'"
INK, LINE = "#1d2733", "#8aa0ad"
FLOW = (
    ("files", "disk"),
    ("reader", ""),
    ("MANIFEST", "one row per image"),
    ("audit, split", ""),
    ("network", "training"),
    ("predict", ""),
    ("PREDICTIONS", "one row per image"),
    ("assess", ""),
    ("evidence.json", "every metric"),
    ("write", ""),
    ("report", "card, W&B"),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add both drawings."""
    files.append(File.generated(config, "flow.svg", content=flow()))
    files.append(File.generated(config, "packages.svg", content=packages()))
    return files


def svg(height: float, parts: Sequence[str]) -> str:
    """Return a drawing on a light ground, which is legible on a dark page, too."""
    ground = f"<rect width='{WIDTH}' height='{height}' rx='8' fill='#f7f9fa'/>"
    size = f"viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}'"
    return f"<svg xmlns='http://www.w3.org/2000/svg' {size} {STYLE}>{ground}{''.join(parts)}</svg>\n"


def text(x: float, y: float, words: str, size: float, weight: int = 400) -> str:
    """Return a line of text around a point."""
    return (
        f"<text x='{x}' y='{y}' font-size='{size}' font-weight='{weight}' text-anchor='middle'>{escape(words)}</text>"
    )


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    """Return a box."""
    return f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='6' fill='{fill}' stroke='{LINE}'/>"


def flow() -> str:
    """Return the drawing of the way from files to results; what stands on an arrow is done there."""
    parts, x, wide, between = [], float(MARGIN), 98.0, 68.0
    for number, (name, below) in enumerate(FLOW):
        if number % 2:
            parts.append(text(x + between / 2, 40, name, 10.5))
            parts.append(f"<path d='M{x + 5} 50 H{x + between - 6}' stroke='{INK}'/>")
            parts.append(f"<path d='M{x + between - 11} 46 l6 4 l-6 4' fill='none' stroke='{INK}'/>")
            x += between
        else:
            fill = "#cfe8e4" if name.isupper() or name == "evidence.json" else "#ffffff"
            parts += [box(x, 26, wide, 48, fill), text(x + wide / 2, 48, name, 12, 600)]
            parts.append(text(x + wide / 2, 64, below, 10))
            x += wide
    return svg(100, parts)


def summary(name: str) -> str:
    """Return the first sentence of a package's or module's docstring."""
    path = PACKAGE / name / "__init__.py" if (PACKAGE / name).is_dir() else PACKAGE / f"{name}.py"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or name).splitlines()[0].rstrip(".")


def packages() -> str:
    """Return the drawing of the layers, the highest on top; each box has a package and its first line."""
    parts, y = [], float(MARGIN)
    for layer in reversed(LAYERS):
        names = sorted(layer, key=lambda name: (not Path(PACKAGE, name).is_dir(), name))
        width = (WIDTH - 2 * MARGIN - GAP * (len(names) - 1)) / len(names)
        lines = {name: textwrap.wrap(summary(name), max(18, int(width / 5.7))) for name in names}
        height = 30 + 13 * max(map(len, lines.values()))
        for number, name in enumerate(names):
            x = MARGIN + number * (width + GAP)
            parts += [box(x, y, width, height, "#cfe8e4" if name == "evaluation" else "#ffffff")]
            parts.append(text(x + width / 2, y + 18, name, 12.5, 600))
            parts += [text(x + width / 2, y + 33 + 13 * row, line, 10.5) for row, line in enumerate(lines[name])]
        y += height + GAP
    return svg(y - GAP + MARGIN, parts)
