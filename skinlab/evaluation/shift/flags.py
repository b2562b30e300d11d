"""Which changes are flagged: large enough to matter, and beyond chance after correction within the probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.shift.form import Change, Condition, Flag
from skinlab.evaluation.shift.yardstick import LEAST_P, MAX_FLIPPED
from skinlab.evaluation.statistics.p_values import holm, p_in_words

MOST_NAMED = 10  # conditions in a sentence
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Limit:
    """The change of a metric from which it counts; smaller ones are not flagged however certain they are.

    Attributes:
        metric: its name.
        label: of it in a sentence.
        size: of the change, without sign.
        harm: the sign of a change that harms: -1 for a metric that falls, 1 for one that rises, 0 for either.
        level: of the flag.
    """

    metric: str
    label: str
    size: float
    harm: int
    breaks: bool = True


# Five points of sensitivity are a missed malignant lesion in twenty; specificity by the effects of pen markings
# (PMC6694463); slopes and intercepts by the shifts of arXiv 2606.13135.
LIMITS = (
    Limit("sensitivity", "sensitivity", 0.05, -1),
    Limit("specificity", "specificity", 0.10, -1),
    Limit("calibration_slope/positive", "the calibration slope", 0.25, -1, breaks=False),
    Limit("calibration_intercept/positive", "the calibration intercept", 0.5, 0, breaks=False),
    Limit("auroc/positive", "the AUROC", 0.05, -1, breaks=False),
    Limit("balanced_accuracy", "balanced accuracy", 0.10, -1, breaks=False),
)


def flag_changes(
    conditions: Sequence[Condition], what: str, limits: Iterable[Limit] = LIMITS, verb: str = "changes"
) -> list[Flag]:
    """Return a flag for each metric that some condition harms, with its worst condition.

    A change counts where it reaches the limit and its p is below .05 after Holm's correction over the conditions.

    Args:
        conditions: of a probe.
        what: stands before the condition's name in a sentence, such as ``The corruption ``.
        limits: of the metrics.
        verb: stands between the condition and the metric.
    """
    flags = []
    for limit in limits:
        rows = [(each, each["changes"][limit.metric]) for each in conditions if limit.metric in each["changes"]]
        p_values = holm([number(change["p"]) for _, change in rows])
        harmful = [
            (each, change, p)
            for (each, change), p in zip(rows, p_values, strict=True)
            if p <= 0.05 and _harm(change, limit) >= limit.size
        ]
        if harmful:
            harmful.sort(key=lambda row: -_harm(row[1], limit))
            flags.append(_flag(harmful[0], _others([each for each, *_ in harmful], len(rows)), what, limit, verb))
    return flags


def flag_flips(conditions: Sequence[Condition], what: str) -> list[Flag]:
    """Return a flag where some condition flips more decisions than :data:`MAX_FLIPPED`, beyond chance after Holm.

    Args:
        conditions: of a probe, alterations of the same images.
        what: the conditions are, in a sentence.
    """
    p_values = holm([number(each["flipped_p"]) for each in conditions])
    shares = [number(each["flipped"]["value"]) for each in conditions]
    above = [i for i, p in enumerate(p_values) if p <= 0.05 and shares[i] > MAX_FLIPPED]
    if not above:
        return []
    above.sort(key=lambda i: -shares[i])
    worst = above[0]
    each, found = conditions[worst], conditions[worst]["flipped"]
    others = _others([conditions[i] for i in above], len(conditions))
    sentence = (
        f"{what}{in_words(each)} flips the decisions of {shares[worst]:.1%} "
        f"[{number(found['low']):.1%}, {number(found['high']):.1%}] of the images, above the limit of "
        f"{MAX_FLIPPED:.0%} (p {p_in_words(p_values[worst])} after Holm's correction{others})."
    )
    return [{"level": "watch", "sentence": sentence, "size": shares[worst] / MAX_FLIPPED}]


def _flag(worst: tuple[Condition, Change, float], others: str, what: str, limit: Limit, verb: str) -> Flag:
    each, change, p = worst
    value = each["metrics"][limit.metric]["value"]
    return {
        "level": "breaks" if limit.breaks else "watch",
        "sentence": f"{what}{in_words(each)} {verb} {limit.label} by {span(change)}, to {minus(value)} "
        f"(p {p_in_words(p, p <= LEAST_P)} after Holm's correction{others}).",
        "size": _harm(change, limit) / limit.size,
    }


def _others(harmful: Sequence[Condition], n: int) -> str:
    """Return how many of n conditions do harm, the worst first, and the names of those of another kind."""
    if len(harmful) == 1:
        return ""
    names = list(dict.fromkeys(readable(each["name"]) for each in harmful))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = f": {', '.join(names[:MOST_NAMED])}{more}" if len(names) > 1 else ""
    return f"; {len(harmful)} of {n} conditions do so{listed}"


def minus(value: float | None) -> str:
    """Return a number with three digits and a sign that is not a hyphen.

    >>> minus(0.12345)
    '0.123'
    """
    return f"{number(value):z.3f}".replace("-", MINUS)


def readable(name: str) -> str:
    """Return a condition's name as it is read; that of a recipe is its settings, as they are set.

    >>> readable("motion_blur"), readable("model.ema_decay=0.99")
    ('motion blur', 'model.ema_decay=0.99')
    """
    return name if "=" in name else name.replace("_", " ")


def in_words(condition: Condition) -> str:
    """Return a condition's name with its dose.

    >>> in_words({"name": "motion_blur", "dose": "severity 5"})
    'motion blur, severity 5,'
    """
    name = readable(condition["name"])
    return f"{name}, {condition['dose']}," if condition["dose"] else name


def span(change: Change) -> str:
    """Return a change in words, with its interval where it has one."""
    found = change["difference"]
    value, low, high = (number(found[end]) for end in ("value", "low", "high"))
    ends = f" [{low:+z.3f}, {high:+z.3f}]" if np.isfinite([low, high]).all() else ""
    return f"{value:+z.3f}{ends}".replace("-", MINUS)


def interval_in_words(found: Interval) -> str:
    """Return a number with its interval.

    >>> interval_in_words({"value": 0.71234, "low": 0.6, "high": 0.8})
    '0.712 [0.600, 0.800]'
    """
    value, low, high = found["value"], found["low"], found["high"]
    ends = "" if low is None or high is None or np.isnan(low) else f" [{low:z.3f}, {high:z.3f}]"
    return "undefined" if value is None else f"{value:z.3f}{ends}".replace("-", MINUS)


def _harm(change: Change, limit: Limit) -> float:
    value = number(change["difference"]["value"])
    return abs(value) if limit.harm == 0 else value * limit.harm


def number(value: float | None) -> float:
    """Return a number of the evidence, NaN where it is null."""
    return np.nan if value is None else value
