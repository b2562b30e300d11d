"""Format numbers, intervals, p-values and names for reading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from skinlab.evaluation.metrics.registry import direction, metric_in_sentence, metric_label
from skinlab.evaluation.statistics.p_values import p_in_words
from skinlab.tables.splits import SPLITS, standard_split
from skinlab.text import quantity

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
# Parts of the names of licences.
NON_COMMERCIAL, NO_DERIVATIVES = ("-nc", "noncommercial", "non-commercial", "research"), ("-nd", "dinov3")
NAMES = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def number(value: Any, digits: int = 3, signed: bool = False) -> str:
    """Write a number, or the value of an interval, with a true minus; a dash where there is none.

    >>> number(0.5968), number({"value": 0.25}, signed=True)
    ('0.597', '+0.250')
    >>> number(-0.5) == MINUS + "0.500", number(None) == number(float("nan")) == DASH
    (True, True)
    """
    if isinstance(value, Mapping):
        value = value.get("value")
    if not isinstance(value, Real) or not math.isfinite(value):
        return DASH
    return f"{value:{'+' if signed else ''}z.{digits}f}".replace("-", MINUS)


def bounds(interval: Any, digits: int = 3, signed: bool = False) -> str:
    """Write the ends of an interval; nothing where they are unknown.

    >>> bounds({"value": 0.6, "low": 0.561, "high": 0.6324}), bounds(0.6), bounds({"low": None, "high": None})
    ('[0.561, 0.632]', '', '')
    """
    if not isinstance(interval, Mapping):
        return ""
    low, high = (number(interval.get(end), digits, signed) for end in ("low", "high"))
    return "" if low == high == DASH else f"[{low}, {high}]"


def interval(value: Any, digits: int = 3, signed: bool = False) -> str:
    """Write a value with its interval.

    >>> interval({"value": 0.597, "low": 0.561, "high": 0.632}), interval(0.5)
    ('0.597 [0.561, 0.632]', '0.500')
    """
    return f"{number(value, digits, signed)} {bounds(value, digits, signed)}".strip()


def interval_note(value: Any) -> str:
    r"""Say why a metric has no interval, or what limits it, and in how many bootstrap samples it is undefined.

    >>> interval_note({"value": 1.0, "note": "caution: 7 groups", "undefined": 0.034}), interval_note(0.5)
    ('caution: 7 groups; undefined in 3.4\xa0% of the bootstrap samples', '')
    """
    if not isinstance(value, Mapping):
        return ""
    share = value.get("undefined")
    undefined = f"undefined in {percent(share, 1)} of the bootstrap samples" if share else ""
    return "; ".join(filter(None, [value.get("note"), undefined]))


def between(value: Any) -> str:
    """State an interval in words.

    >>> between({"value": 0.597, "low": 0.561, "high": 0.632}), between(None)
    ('between 0.561 and 0.632', '')
    """
    ends = bounds(value).strip("[]").split(", ")
    return f"between {ends[0]} and {ends[1]}" if len(ends) == 2 else ""


def percent(value: Any, digits: int = 0) -> str:
    r"""Write a share as a percentage that no line break cuts.

    >>> percent(0.956), percent(0.956, 1)
    ('96\xa0%', '95.6\xa0%')
    """
    words = number(None if number(value) == DASH else 100 * _plain(value), digits)
    return words if words == DASH else f"{words}\u00a0%"


def p_value(value: Any, found: Mapping[str, Any] | None = None) -> str:
    """Write a p-value; as a bound where the bootstrap samples support no smaller one.

    Args:
        value: p, or corrected p.
        found: the comparison that it is of, with its ``p`` and ``p_floor``.

    >>> p_value(0.0312), p_value(0.002, {"p": 0.001, "p_floor": 0.001}), p_value(None) == DASH
    ('0.031', '≤ 0.002', True)
    """
    if number(value) == DASH:
        return DASH
    p, floor = ((found or {}).get(key) for key in ("p", "p_floor"))
    return p_in_words(value, p is not None and floor is not None and p <= floor).removeprefix("= ")


def label_of(name: str, row: Mapping[str, Any]) -> str:
    """Label a metric with the ``operating_point`` of a row of the evidence; in older ones with the usual one.

    >>> label_of("f1_macro", {"operating_point": "called class, cost"}), label_of("f1_macro", {})
    ('Macro F1 (called class, cost)', 'Macro F1 (most probable class)')
    """
    return metric_label(name, point=row.get("operating_point", True))


def over_classes(evidence: Mapping[str, Any]) -> str:
    """Name the classes that systems on different images are compared over; "" where these are all classes.

    >>> over_classes({"settings": {"classes": ["bcc", "mel", "nv"]}, "unpaired": {"classes": ["mel", "nv"]}})
    ' over mel and nv'
    """
    names = evidence["unpaired"]["classes"] if "unpaired" in evidence else []
    if not 0 < len(names) < len(evidence["settings"]["classes"]):
        return ""
    return f" over {', '.join(names[:-1])} and {names[-1]}"


def label_of_column(name: str) -> str:
    """Name a column of subgroups for a reader.

    >>> label_of_column("skin_tone"), label_of_column("age")
    ('Skin tone', 'Age')
    """
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def count(value: Any) -> str:
    """Write a count with its thousands apart.

    >>> count(10015)
    '10,015'
    """
    return DASH if number(value) == DASH else f"{int(_plain(value)):,}"


def counted(value: Any, noun: str) -> str:
    """Write a count with its noun; a dash where it is not known.

    >>> counted(1, "image"), counted(None, "image") == f"{DASH} images"
    ('1 image', True)
    """
    return f"{DASH} {noun}s" if number(value) == DASH else quantity(int(_plain(value)), noun)


def group_noun(system: Mapping[str, Any]) -> str:
    """Name what a group of a system's images is: ``lesion`` or ``patient`` where that is known."""
    unit = system.get("group_unit")
    return "group" if unit in (None, "image") else str(unit)


def groups_in_words(system: Mapping[str, Any]) -> str:
    """Write how many groups the images of a system are of, with what a group is.

    >>> groups_in_words({"groups": 20, "group_unit": "lesion"}), groups_in_words({"groups": 1, "group_unit": "image"})
    ('20 lesions', '1 group of one image each')
    >>> groups_in_words({"groups": 20})
    '20 groups (lesions or patients)'
    """
    notes = {None: f" ({units_in_words(system)})", "image": " of one image each"}
    return counted(system["groups"], group_noun(system)) + notes.get(system.get("group_unit"), "")


def several_classes(system: Mapping[str, Any]) -> str:
    """Say how many groups count in several classes; "" where none does, or where it is not known.

    >>> several_classes({"groups": 155, "group_unit": "patient", "groups_per_class": {"benign": 102, "malignant": 75}})
    '22 patients have images of both'
    """
    counts = (system.get("groups_per_class") or {}).values()
    more = sum(counts) - (system["groups"] or 0)
    if more <= 0:
        return ""
    noun = group_noun(system)
    return f"{quantity(more, noun, 'has')} images of both" if len(counts) == 2 else f"some {noun}s have several classes"


def units_in_words(system: Mapping[str, Any]) -> str:
    """Name the groups of a system's images.

    >>> units_in_words({"group_unit": "patient"}), units_in_words({})
    ('patients', 'lesions or patients')
    """
    unit = system.get("group_unit")
    return f"{unit}s" if unit else "lesions or patients"


def known_split(source: Mapping[str, Any]) -> str:
    """Return the split of a predictions file; "" where it is but the name of a file that names none.

    >>> known_split({"path": "run/test.csv", "split": "test"}), known_split({"path": "theirs.csv", "split": "theirs"})
    ('test', '')
    """
    split = str(source.get("split") or "")
    return "" if split == Path(source["path"]).stem and standard_split(split) not in (*SPLITS, "oof") else split


def in_words(n: int) -> str:
    """Spell a small count.

    >>> in_words(7), in_words(23)
    ('seven', '23')
    """
    return NAMES[n] if n < len(NAMES) else str(n)


def shorten(name: str, length: int = 34) -> str:
    """Leave out the middle of a long name.

    >>> shorten("seborrheic keratosis", 10)
    'sebor…osis'
    """
    tail = (length - 1) // 2
    return name if len(name) <= length else f"{name[: length - 1 - tail]}…{name[-tail:]}"


def ensemble_words(ensemble: Mapping[str, Any] | None) -> list[str]:
    """Return sentences on the members' diversity, the benefit of choosing among them, and the equal-cost baseline."""
    if not ensemble:
        return []
    lines = []
    for pair in ensemble["diversity"]:
        apart, together = percent(pair["disagreement"], 1), number(pair["error_correlation"], 2)
        who = f"{pair['a']} and {pair['b']}"
        lines.append(
            f"{who} disagree on {apart} of the images; the correlation of their errors is {together}."
            if pair["disagreement"]
            else f"{who} have the same most probable class on every image, and so the same errors; their probabilities "
            "may still differ."
        )
    if ensemble["weights"]:
        shares = zip(ensemble["members"], ensemble["weights"], strict=True)
        lines.append("Learned weights: " + ", ".join(f"{name} {weight:.2f}" for name, weight in shares) + ".")
    if ensemble.get("thresholds"):
        calls = zip(ensemble["members"], ensemble["thresholds"], strict=True)
        lines.append("Thresholds of the members: " + ", ".join(f"{name} {number(at)}" for name, at in calls) + ".")
    if search := ensemble["search"]:
        best, metric = search["subset"], metric_in_sentence(search["metric"])
        nested, optimistic = number(best["nested"]), number(best["same_rows"])
        all_members, single = number(search["all_members"]), number(search["single"]["nested"])
        among = f"{'all' if search['exhaustive'] else 'the best of a stepwise search of'} {search['n_candidates']}"
        lines.append(
            f"Best subset by {metric}, of {among}: {' + '.join(best['chosen'])}, {nested} by nested cross-validation "
            f"({optimistic} on the images of the choice; all members {all_members}, best single {single})."
        )
        if _is_worse(best["nested"], search["single"]["nested"], search["metric"]):
            lines.append(f"That subset is worse than the best single system, {search['single']['chosen'][0]}.")
        choose = "chooses" if best["folds_agreeing"] == 1 else "choose"
        lines.append(
            f"{best['folds_agreeing']} of {search['folds']} folds {choose} that subset; the choice gains "
            f"{number(best['gain'], signed=True)} over the mean of the subsets of its size."
        )
    return [*lines, f"Equal-cost baseline: {ensemble['equal_cost_baseline']}."]


def _is_worse(value: Any, other: Any, metric: str) -> bool:
    """Return whether a metric's value is worse than another one, as they are written."""
    own, best = round(_plain(value), 3), round(_plain(other), 3)
    return own > best if direction(metric) == "min" else own < best


def overlap_sentence(overlap: Mapping[str, Any] | None) -> str:
    """Return a sentence on how many images the model was trained on; "" where it is none.

    >>> overlap_sentence({"images": 400, "train": 300, "val": 0})
    '300 of 400 images were trained on by this model: the metrics are not of new images.'
    >>> overlap_sentence({"images": 9, "train": 0, "val": 9})
    ''
    >>> overlap_sentence({"images": 1, "train": 1})
    '1 of 1 image was trained on by this model: the metrics are not of new images.'
    """
    learned = any((overlap or {}).get(kind) for kind in ("train", "group", "unknown"))
    return _known_images(overlap or {}, "the metrics are not of new images") if learned else ""


def prediction_overlap_sentence(overlap: Mapping[str, Any]) -> str:
    """Return how many images a model knows where there are probabilities and no metrics.

    >>> prediction_overlap_sentence({"images": 1, "train": 1})
    '1 of 1 image was trained on by this model: the probabilities are not those of a new image.'
    >>> prediction_overlap_sentence({"images": 9, "val": 9})
    '9 of 9 images chose its best epoch, thresholds or calibrator: the probabilities are not those of new images.'
    """
    new = "a new image" if overlap["images"] == 1 else "new images"
    return _known_images(overlap, f"the probabilities are not those of {new}")


def _known_images(overlap: Mapping[str, Any], result: str) -> str:
    words = {  # of one image, of several
        "train": ("was trained on by this model", "were trained on by this model"),
        "val": ("chose its best epoch, thresholds or calibrator",) * 2,
        "group": ("shows a lesion of its training images", "show a lesion of its training images"),
    }
    found = [f"{count(n)} {texts[n != 1]}" for kind, texts in words.items() if (n := overlap.get(kind))]
    if not found:
        unknown = overlap.get("unknown") or []
        return f"Whether the images were trained on is not known: {', '.join(unknown)}." if unknown else ""
    first, _, rest = found[0].partition(" ")
    listed = [f"{first} of {quantity(overlap['images'], 'image')} {rest}", *found[1:]]
    together = " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    return f"{together}: {result}."


def _plain(value: Any) -> float:
    return float(value["value"] if isinstance(value, Mapping) else value)


def limit_sentences(metrics: Mapping[str, Any]) -> list[str]:
    """Return sentences on limits of batches per epoch and on an early end of the training."""
    found = []
    for part, verb in (("train", "trained"), ("val", "the best epoch was chosen")):
        used, there = metrics.get(f"{part}_batches"), metrics.get(f"{part}_batches_available")
        if used is not None and there is not None and used < there:
            found.append(f"{verb} on {used} of {there} batches an epoch (trainer.limit_{part}_batches).")
    if "steps_trained" in metrics:
        steps = f"{metrics['steps_trained']} of {metrics['steps_planned']} steps"
        found.append(f"training ended after {steps} (trainer.max_steps or trainer.max_time).")
    return found


def restrictions(licence: str) -> str:
    """Return what a licence of weights restricts, by its name; nothing for a licence that is not known to.

    CC BY-ND and DINOv3's licence restrict how what is made from the weights may be shared.

    >>> restrictions("CC BY-NC-ND 4.0"), restrictions("dinov3-license"), restrictions("apache-2.0")
    ('commercial use and sharing a model trained from them', 'sharing a model trained from them', '')
    """
    name = licence.lower().replace(" ", "-")
    kinds = {"commercial use": NON_COMMERCIAL, "sharing a model trained from them": NO_DERIVATIVES}
    return " and ".join(what for what, parts in kinds.items() if any(part in name for part in parts))


def licence_in_words(licence: str) -> str:
    """Return the name of a licence, with what it restricts.

    >>> licence_in_words("cc-by-nc-4.0"), licence_in_words("mit")
    ('cc-by-nc-4.0, which restricts commercial use', 'mit')
    """
    return licence + (f", which restricts {limits}" if (limits := restrictions(licence)) else "")
