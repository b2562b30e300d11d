"""Compare home with other sources: raw, at matched case mix, corrected for the prior, and by source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.subgroups import MIN_ROWS
from skinlab.evaluation.evidence.views import View
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.metrics.registry import metric_in_sentence
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.case_mix import CaseMix, class_shares, of_classes, shared_classes
from skinlab.evaluation.shift.flags import MINUS, interval_in_words, span
from skinlab.evaluation.shift.form import Change, Condition
from skinlab.evaluation.shift.yardstick import OF_ALL, Samples, Yardstick, condition, has_both
from skinlab.text import quantity

Floats = npt.NDArray[np.float64]

IN_NOTES = ("sensitivity", "specificity", "ece", "calibration_intercept/positive")
AT_HOME, AT_OUTSIDE = "at home's case mix", "at outside's case mix"


@dataclass(frozen=True)
class Side:
    """The predictions of one place.

    Attributes:
        name: such as ``home``.
        table: N images.
        thresholds: of each image ``(N, R)``, where the frozen threshold was chosen on these; None for that one.
    """

    name: str
    table: Predictions
    thresholds: Floats | None = None

    def of(self, rows: npt.NDArray[np.bool_]) -> Side:
        """Return some of the images."""
        return Side(self.name, self.table.take(rows), None if self.thresholds is None else self.thresholds[rows])

    def samples(self, yardstick: Yardstick, weighting: CaseMix | None = None) -> Samples:
        """Return the bootstrap samples of the metrics, at a case mix where one is set."""
        return yardstick.samples(self.table, self.thresholds, weighting)

    def condition(self, yardstick: Yardstick, samples: Samples, dose: str = "") -> Condition:
        """Return the condition of these images."""
        return condition(self.name, self.table, yardstick, samples, dose)

    def at_mix(self, shares: Floats) -> CaseMix:
        """Return the weighting of these images to shares ``(C,)`` of the classes."""
        return CaseMix(self.table.target, shares)


def compare_raw(home: Side, outside: Side, yardstick: Yardstick) -> list[Condition]:
    """Return both places as they are, outside with its changes to home.

    Means over the classes are left out of the changes where the places have other classes.
    """
    here, there = home.samples(yardstick), outside.samples(yardstick)
    found = [home.condition(yardstick, here), outside.condition(yardstick, there)]
    changes = yardstick.unpaired(there, here)
    if set(home.table.target) != set(outside.table.target):
        changes = {name: each for name, each in changes.items() if name not in OF_ALL}
    found[1]["changes"] = changes
    return found


def compare_matched(home: Side, outside: Side, classes: Sequence[str], yardstick: Yardstick) -> list[Condition]:
    """Return the places at home's case mix, then at outside's, of the classes that both have.

    Of each pair the second has its changes to the first.
    """
    home, outside = (each.of(of_classes(each.table, classes)) for each in (home, outside))
    found = []
    for there, mix in ((home, AT_HOME), (outside, AT_OUTSIDE)):
        shares = class_shares(there.table, classes)
        pair = []
        for side in (home, outside):
            samples = side.samples(yardstick, None if side is there else side.at_mix(shares))
            pair.append((side.condition(yardstick, samples, mix), samples))
        (_, here), (last, other) = pair
        last["changes"] = yardstick.unpaired(other, here)
        found += [each for each, _ in pair]
    return found


def case_mix_part(home: Side, outside: Side, classes: Sequence[str], yardstick: Yardstick) -> Mapping[str, Change]:
    """Return what of the raw gap, outside minus home, goes away at home's case mix, of the classes that both have."""
    shares, parts = class_shares(home.table, classes), []
    for side in (outside, home):
        raw, matched = side.samples(yardstick), side.samples(yardstick, side.at_mix(shares))
        parts.append({name: each.minus(matched[name]) for name, each in raw.items() if name not in OF_ALL})
    return yardstick.unpaired(parts[0], parts[1])


def mix_note(raw: Condition, matched: Sequence[Condition], part: Mapping[str, Change]) -> list[str]:
    """Return a sentence a metric: the gap, that at each case mix, and what of it is case mix."""
    at_home, at_outside = matched[1]["changes"], matched[3]["changes"]
    return [
        f"{metric_in_sentence(name, point=False).capitalize()}, outside {MINUS} home: {span(raw['changes'][name])} "
        f"raw, {span(at_home[name])} at home's case mix, {span(at_outside[name])} at outside's; "
        f"case mix (at home's) accounts for {span(part[name])} of the raw gap."
        for name in IN_NOTES
        if name in part
    ]


def called_note(home: Side, outside: Side, yardstick: Yardstick) -> str:
    """Return a sentence on the positive images of each place whose most probable class is a positive one."""
    shares = []
    for side in (home, outside):
        view, positive = yardstick.view(side.table), np.isin(side.table.classes, yardstick.positive)
        called = positive[side.table.probabilities.argmax(1)].astype(float)
        table = view.with_probabilities(np.stack([1 - called, called], 1))
        samples = View([table], ["sensitivity"]).samples(np.ones(len(table), bool), seed=yardstick.seed)
        shares.append(interval_in_words(samples.interval("sensitivity", yardstick.level).to_dict()))
    return (
        f"By the most probable class, without a threshold, {shares[0]} of the positive images are called positive at "
        f"home and {shares[1]} outside."
    )


def left_out_classes(home: Side, outside: Side, classes: Sequence[str]) -> str:
    """Return a sentence on the classes that are not compared at matched case mix; "" where all are."""
    counts = [np.bincount(each.table.target, minlength=len(each.table.classes)) for each in (home, outside)]
    missing = [
        f"{name} ({quantity(int(counts[0][c]), 'image')} at home, {counts[1][c]} outside)"
        for c, name in enumerate(home.table.classes)
        if name not in classes and counts[0][c] + counts[1][c]
    ]
    return f"Not in the matched case mix, since too few groups of both places have them: {', '.join(missing)}." * bool(
        missing
    )


def matched_classes(home: Side, outside: Side, positive: Sequence[str]) -> list[str]:
    """Return the classes that both places have, none where these are all positive or all not."""
    classes = shared_classes(home.table, outside.table)
    return classes if set() < set(classes) & set(positive) < set(classes) else []


def compare_trainings(
    whole: Side, rows: npt.NDArray[np.bool_], other: Side, source: str, yardstick: Yardstick
) -> list[Condition]:
    """Return another training's metrics on the images of a source, with its paired changes to the model on the same.

    The second condition is at home's case mix, of the classes that the source has; it is left out where these are not
    on both sides, and a small source has counts alone.

    Args:
        whole: all images at home, by the model.
        rows: those of the source ``(N,)``.
        other: these, by the other training.
        source: name.
        yardstick: how they are measured.
    """
    model = whole.of(rows)
    if not is_large(model, yardstick):
        return [small_condition(other, yardstick)]
    classes = matched_classes(whole, model, yardstick.positive)
    mixes = {"": None, AT_HOME: other.at_mix(class_shares(whole.table, classes))} if classes else {"": None}
    found = []
    for dose, mix in mixes.items():
        samples = other.samples(yardstick, mix)
        found.append(other.condition(yardstick, samples, dose))
        found[-1]["changes"] = yardstick.paired(samples, model.samples(yardstick, mix))
        if missing := sorted(set(np.asarray(whole.table.classes)[whole.table.target]) - set(classes)) * bool(dose):
            found[-1]["note"] = f"without {', '.join(missing)}, of which {source} has too few groups"
    return found


def is_large(side: Side, yardstick: Yardstick) -> bool:
    """Return whether a source has images and groups enough for metrics."""
    return len(side.table) >= MIN_ROWS and has_both(yardstick.view(side.table))


def small_condition(side: Side, yardstick: Yardstick) -> Condition:
    """Return a source that has counts alone."""
    found = side.condition(yardstick, {})
    found["note"] = f"too few for metrics: at least {MIN_ROWS} images, {MIN_GROUPS} groups of positives and of others"
    return found


def by_source(side: Side, yardstick: Yardstick) -> list[Condition]:
    """Return each source of a place with its metrics, without any where it is small; none of a single source."""
    sources = side.table.source.astype(str)
    names = sorted(set(sources) - {""})
    found: list[Condition] = []
    for name in names if len(names) > 1 else []:
        own = side.of(sources == name)
        named = Side(f"{side.name}: {name}", own.table, own.thresholds)
        large = is_large(named, yardstick)
        found.append(
            named.condition(yardstick, named.samples(yardstick)) if large else small_condition(named, yardstick)
        )
    return found
