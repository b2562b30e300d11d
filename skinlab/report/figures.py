"""The picture of a run: main metrics, learning curves, confusion matrix and PR curves, drawn from its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import confusion_matrix

from skinlab.errors import UserError
from skinlab.evaluation.metrics.curves import precision_recall_steps
from skinlab.evaluation.metrics.operating_points import HALF, MOST_PROBABLE, operating_point
from skinlab.evaluation.metrics.registry import shown_metrics
from skinlab.evaluation.predictions import table_arrays
from skinlab.report.charts import DASHED, DOTTED
from skinlab.report.run_files import best_epoch_words, learning_curves, read_metrics, scored_predictions
from skinlab.report.svg import chart_style
from skinlab.report.wording import shorten
from skinlab.text import quantity

# Okabe and Ito's palette, distinct with any common colour blindness; without its yellow, too faint on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#000000", "#56B4E9")
INK, SOFT, FAINT = "#1b1f24", "#626a73", "#d5dade"
BLUES = LinearSegmentedColormap.from_list("blues", ["#f3f6f8", "#cfe3f1", "#6aaed6", "#0072B2", "#004a75"])
STYLE = chart_style(INK, SOFT, FAINT) | {
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.grid": True,
    "grid.color": "#eceff1",
    "xtick.major.pad": 7,
}
LEGEND: dict[str, Any] = {"fontsize": 11, "handlelength": 1.4, "framealpha": 1, "edgecolor": "white", "fancybox": False}
LEFT, RIGHT = 0.065, 0.975  # margins of the page
MOST_CELLS = 12  # classes for which the cells of a confusion matrix have room for numbers

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def run_figure(run_dir: Path) -> Path:
    """Draw ``<run>/figures.png`` from ``metrics.json``, ``predictions/`` and, if there, ``csv/metrics.csv``.

    Args:
        run_dir: of a run that has ended.

    Returns:
        The picture's path.

    Raises:
        UserError: it can't be written.
    """
    metrics = read_metrics(run_dir)
    split, table = scored_predictions(run_dir, metrics)
    probabilities, target, classes = table_arrays(table)
    with rc_context(STYLE):
        figure = Figure(figsize=(12.5, 11), dpi=160, facecolor="white")
        grid = GridSpec(2, 2, figure, LEFT, 0.06, RIGHT, 0.775, wspace=0.27, hspace=0.32, height_ratios=(1.12, 1))
        _header(figure, run_dir, metrics, split, len(table), len(classes))
        left = grid[0, 0].subgridspec(2, 1, hspace=0.16)
        loss, accuracy = figure.add_subplot(left[0]), figure.add_subplot(left[1])
        curves = learning_curves(run_dir)
        _learning(loss, accuracy, curves.set_axis(curves.index + 1), metrics["best/epoch"] + 1)  # people count from 1
        _confusion(figure.add_subplot(grid[0, 1]), probabilities, target, classes, split)
        colours = class_colours(target, len(classes))
        _precision_recall(figure.add_subplot(grid[1, 0]), probabilities, target, colours, split)
        _class_table(figure.add_subplot(grid[1, 1]), metrics, split, target, classes, colours)
        return _save(figure, run_dir / "figures.png")


def _save(figure: Figure, path: Path) -> Path:
    """Write the picture by an atomic rename."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(temporary, format="png")
        return temporary.replace(path)
    except OSError as error:
        raise UserError(f"can't write {path} ({error.strerror or error}); free some space and run again") from error
    finally:
        temporary.unlink(missing_ok=True)


def class_colours(target: Ints, n_classes: int) -> dict[int, str]:
    """Give a colour to each class with rows, the commonest first as far as the colours go; the rest go without.

    >>> class_colours(np.array([0, 1, 1]), 3)
    {1: '#0072B2', 0: '#E69F00'}
    """
    support = np.bincount(target, minlength=n_classes)
    order = [int(i) for i in np.argsort(-support, kind="stable") if support[i]]
    return dict(zip(order, COLOURS, strict=False))


def _header(figure: Figure, run_dir: Path, metrics: Mapping[str, Any], split: str, rows: int, n_classes: int) -> None:
    """Write the run's name, its settings and its main metrics."""
    figure.text(LEFT, 0.962, run_dir.name, fontsize=17, fontweight="bold")
    facts = (
        f"{metrics['loss']} loss, {metrics['init_used']} weights, {best_epoch_words(metrics, run_dir)}; "
        f"{split}: {quantity(rows, 'image')}, {n_classes} classes"
    )
    figure.text(LEFT, 0.936, facts, color=SOFT)
    shown = shown_metrics("picture_of_two" if n_classes == 2 else "picture", "all", "positive")
    for i, metric in enumerate(shown):
        x, key = LEFT + i * (RIGHT - LEFT) / len(shown), metric.name
        figure.text(x, 0.876, _number(metrics[f"{split}/{key}"]), fontsize=27, fontweight="bold", color=COLOURS[0])
        at = operating_point(key)
        figure.text(x, 0.852, (metric.short or metric.label) + (f" ({at})" if at == HALF else ""), color=INK)
        if split == "test" and f"val/{key}" in metrics:
            figure.text(x, 0.832, f"val {_number(metrics[f'val/{key}'])}", color=SOFT, fontsize=10.5)


def _learning(loss: Axes, accuracy: Axes, curves: pd.DataFrame, best: int) -> None:
    """Draw the losses above the balanced accuracy, over the epochs."""
    _title(loss, "Learning curves")
    if curves.empty:
        for axes in (loss, accuracy):
            axes.set_axis_off()
        loss.text(0, 0.5, "no csv log was kept (logger=csv)", color=SOFT)
        return
    styles = {"train/loss": (COLOURS[1], "train loss"), "val/loss": (COLOURS[0], "val loss")}
    for name, (colour, words) in styles.items():
        if name in curves:
            _curve(loss, curves[name].dropna(), colour, words)
    _curve(accuracy, curves["val/balanced_accuracy"].dropna(), COLOURS[0], "val balanced accuracy")
    for axes in (loss, accuracy):
        axes.axvline(best, color=INK, linewidth=1, linestyle=DASHED)
        axes.set_xlim(curves.index.min() - 0.4, curves.index.max() + 0.4)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.legend(loc="best" if axes is loss else "lower right", **LEGEND)
    loss.tick_params(labelbottom=False)
    late = best > curves.index.max() / 2
    beside: dict[str, Any] = {"ha": "right" if late else "left", "va": "top"}
    beside |= {"textcoords": "offset points", "xycoords": ("data", "axes fraction")}
    loss.annotate(f"best epoch {best}", (best, 1), (-5 if late else 5, -3), **beside)
    accuracy.set_xlabel("epoch")


def _curve(axes: Axes, values: pd.Series[float], colour: str, words: str) -> None:
    marker = "o" if len(values) <= 30 else ""
    axes.plot(values.index, values, color=colour, label=words, linewidth=2, marker=marker, markersize=4)


def _confusion(axes: Axes, probabilities: Floats, target: Ints, classes: list[str], split: str) -> None:
    """Draw the share of each true class by predicted class, with the counts."""
    n = len(classes)
    counts = confusion_matrix(target, probabilities.argmax(1), labels=range(n))
    support = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(support, 1)
    axes.imshow(shares, cmap=BLUES, vmin=0, vmax=1, aspect="auto")
    _title(axes, "Confusion", f"{split}; % of the true class, images")
    named = n <= MOST_CELLS
    axes.set_xticks(range(n) if named else [], [shorten(name, 7 if n > 4 else 14) for name in classes] if named else [])
    axes.set_yticks(range(n), [shorten(name, 10) for name in classes], fontsize=11.5 if named else 7)
    axes.set_xlabel(f"predicted ({MOST_PROBABLE})" + ("" if named else ", in the same order"))
    axes.set_ylabel("true")
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(False)
    axes.grid(which="minor", color="white", linewidth=2 if named else 0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    size = 13 if n <= 8 else 10
    place: dict[str, Any] = {"xycoords": "data", "textcoords": "offset points", "ha": "center", "va": "center"}
    for (i, j), count in np.ndenumerate(counts):
        if count and named:
            place["color"] = "white" if shares[i, j] > 0.62 else INK
            axes.annotate(f"{100 * shares[i, j]:.0f}", (j, i), (0, 0.45 * size), fontsize=size, **place)
            axes.annotate(f"{count}", (j, i), (0, -0.65 * size), fontsize=0.72 * size, **place)


def _precision_recall(axes: Axes, probabilities: Floats, target: Ints, colours: Mapping[int, str], split: str) -> None:
    """Draw a PR curve a class, in the steps that the average precision sums, above the level of chance."""
    for i, colour in colours.items():
        recall, precision = precision_recall_steps(target == i, probabilities[:, i])
        axes.step(np.r_[0, recall], np.r_[precision[0], precision], color=colour, linewidth=2, where="pre")
        axes.axhline((target == i).mean(), color=colour, linewidth=1, linestyle=DOTTED)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    _title(axes, "Precision and recall", f"{split}; dotted: prevalence")


def _class_table(
    axes: Axes, metrics: Mapping[str, Any], split: str, target: Ints, classes: list[str], colours: Mapping[int, str]
) -> None:
    """Write the metrics of each class; its colours are the legend of the curves beside it."""
    axes.set_axis_off()
    _title(axes, "Classes", f"{split}, {MOST_PROBABLE}")
    columns = {"images": 0.375, "prevalence": 0.575, "AP": 0.735, "recall": 0.87, "F1": 1.0}
    shown = list(colours)
    step = min(0.115, 0.98 / (len(shown) + 1))
    for words, x in columns.items():
        axes.text(x, 1 - 0.5 * step, words, ha="right", va="center", color=SOFT)
    for row, i in enumerate(shown, start=1):
        y = 1 - (row + 0.5) * step
        name, rows = classes[i], int((target == i).sum())
        numbers = [_number(metrics[f"{split}/{key}/{name}"]) for key in ("pr_auc", "recall", "f1")]
        axes.plot([0, 0.04], [y, y], color=colours[i], linewidth=4, solid_capstyle="butt", clip_on=False)
        axes.text(0.06, y, shorten(name, 11), va="center")
        for x, words in zip(columns.values(), [str(rows), f"{rows / len(target):.3f}", *numbers], strict=True):
            axes.text(x, y, words, ha="right", va="center")
        axes.axhline(y + step / 2, color=FAINT, linewidth=0.8)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    if len(shown) < len(classes):
        more = f"{len(classes) - len(shown)} more classes, without rows or less common"
        axes.text(0.06, 1 - (len(shown) + 1.5) * step, more, va="center", color=SOFT)


def _title(axes: Axes, words: str, note: str = "") -> None:
    axes.set_title(words, loc="left", fontsize=13, fontweight="bold", color=INK, pad=10)
    axes.set_title(note, loc="right", fontsize=10.5, color=SOFT, pad=10)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
