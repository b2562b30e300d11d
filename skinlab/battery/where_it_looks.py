"""Where it looks: the lesion removed, the lesion alone, the centre removed, and Grad-CAM inside the lesion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from skinlab.alterations.lesion import (
    has_skin,
    in_centre,
    lesion_only,
    skin_around,
    without_box,
    without_centre,
    without_lesion,
)
from skinlab.alterations.segmentation import Mask
from skinlab.battery.bench import Bench, ImageSet, examples
from skinlab.battery.lesions import check_lesions, find_lesions
from skinlab.battery.maps import map_picture, shares_inside
from skinlab.battery.model import Image
from skinlab.battery.places import drawn_rows
from skinlab.battery.probe import Findings, NotRunError, Probe, Shown, require_home
from skinlab.errors import UserError
from skinlab.evaluation.shift.flags import interval_in_words
from skinlab.evaluation.shift.form import Condition
from skinlab.evaluation.shift.looks import AREA, EXCESS, INSIDE, area_alone, flag_maps, flag_remaining, map_shares
from skinlab.evaluation.shift.yardstick import Samples, altered_condition, has_both

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Change:
    """What is done to images: by image, mask and random numbers, measured on some rows ``(N,)``."""

    name: str
    dose: str
    alter: Callable[[Image, Mask, np.random.Generator], Image]
    rows: Bools
    without_lesion: bool
    note: str = ""


@dataclass(frozen=True)
class WhereItLooks(Probe):
    """Metrics without the lesion and of the lesion alone, and the share of Grad-CAM inside the lesion.

    Args:
        segment: whether images without a mask are segmented.
        centre_boxes: sides of the square that is removed from the centre, as shares of the image's; each is measured
            on the images whose lesion is inside it.
        n_maps: images at most that Grad-CAM is computed for; None for all.

    Raises:
        UserError: a side is no share.
    """

    segment: bool = True
    centre_boxes: Sequence[float] = (0.5, 0.7, 0.9)
    n_maps: int | None = 500
    title: ClassVar[str] = "Where it looks"
    question: ClassVar[str] = "Does it look at the lesion, or does the rest of the image tell it the diagnosis?"
    published: ClassVar[str] = "With a box over the lesion models still beat chance by far (arXiv 1904.08818)."

    def __post_init__(self) -> None:
        for share in self.centre_boxes:
            if not 0 < share < 1:
                raise UserError(f"probe.where_it_looks.centre_boxes: {share} is no share of the side, such as 0.7")

    def passes(self, bench: Bench) -> int:
        """Return how many images are predicted or mapped."""
        home = require_home(bench)
        check_lesions(home, "probe.where_it_looks.segment", segment=self.segment)
        return len(home) * (3 + len(self.centre_boxes)) + len(drawn_rows(home.rows, self.n_maps, bench.seed))

    def run(self, bench: Bench) -> Findings:
        """Return the metrics of each change, and the shares of the maps."""
        home = require_home(bench)
        lesions = find_lesions(home, segment=self.segment)
        usable = np.array([mask is not None and has_skin(mask) for mask in lesions.masks])
        if not has_both(home.yardstick.view(home.clean.take(usable))):
            raise NotRunError("too few images have a lesion with skin around it: give masks (column mask_path)")
        found = Findings(reference="the unaltered images", notes=[lesions.in_words()])
        if full := lesions.n_from_data + lesions.n_segmented - int(usable.sum()):
            found.notes.append(f"{full} images are left out: their lesion leaves no skin to fill it with.")
        masks = [np.zeros((1, 1), bool) if mask is None else mask for mask in lesions.masks]
        changes = _changes(home, masks, usable, self.centre_boxes)
        _measure(home, masks, changes, bench.seed, found)
        area = np.array([mask.mean() for mask in masks])
        by_area = area_alone(area[usable], home.clean.take(usable), home.yardstick)
        found.notes.append(
            f"By the area of the lesion alone the AUROC is {interval_in_words(by_area)}. So much may be due to the "
            "outline that is left where a lesion was removed; the square in the centre has one outline for all."
        )
        drawn = drawn_rows(home.rows, self.n_maps, bench.seed)
        _look(home, masks, area, drawn[usable[drawn]], found)
        rows = np.flatnonzero(usable).tolist()
        for row in (rows[i] for i in examples(home.rows[usable], home.yardstick.positive)):
            found.pictures += _pictures(home, masks, changes, row, bench.seed)
        return found


def _changes(home: ImageSet, masks: Sequence[Mask], usable: Bools, boxes: Sequence[float]) -> list[_Change]:
    """Return what is done to the images."""
    skin = [np.median(home.pixels[row][skin_around(masks[row])], axis=0) for row in np.flatnonzero(usable).tolist()]
    colour = np.mean(skin, axis=0).round().astype(np.uint8)
    found = [
        _Change("lesion removed", "filled with skin", without_lesion, usable, without_lesion=True),
        _Change(
            "lesion's box removed",
            "in the skin's colour",
            lambda image, mask, _: without_box(image, mask),
            usable,
            without_lesion=True,
        ),
        _Change(
            "lesion only", "", lambda image, mask, _: lesion_only(image, mask, colour), usable, without_lesion=False
        ),
    ]
    for share in boxes:
        inside = np.array(
            [has_lesion and in_centre(mask, share) for has_lesion, mask in zip(usable, masks, strict=True)]
        )
        name, dose = "centre removed", f"{share:.0%} of the side"
        alter = partial(_without_centre, share, colour)
        found.append(_Change(name, dose, alter, inside, without_lesion=True, note="where the lesion is inside"))
    return found


def _without_centre(
    share: float, colour: npt.NDArray[np.uint8], image: Image, _: Mask, __: np.random.Generator
) -> Image:
    return without_centre(image, share, colour)


def _altered(masks: Sequence[Mask], change: _Change, seed: int, image: Image, row: int) -> Image:
    """Return the altered image of a row; those that are not measured stay as they are."""
    return change.alter(image, masks[row], np.random.default_rng([seed, row])) if change.rows[row] else image


def _measure(home: ImageSet, masks: Sequence[Mask], changes: Sequence[_Change], seed: int, found: Findings) -> None:
    """Add the metrics of each change, and the flag of what remains without the lesion."""
    without = list[tuple[Condition, Samples]]()
    for change in changes:
        table = home.predict(partial(_altered, masks, change, seed)).take(change.rows)
        if not has_both(home.yardstick.view(table)):
            found.notes.append(
                f"{change.name}, {change.dose}: not measured, since it is so in {len(table)} images only."
            )
            continue
        clean, samples = home.clean.take(change.rows), home.yardstick.samples(table)
        reference = home.yardstick.samples(clean)
        condition = altered_condition(change.name, change.dose, table, clean, reference, home.yardstick, samples)
        condition["note"] = change.note
        found.conditions.append(condition)
        if change.without_lesion:
            without.append((condition, samples))
    found.flags += flag_remaining(without)


def _look(
    home: ImageSet, masks: Sequence[Mask], area: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], found: Findings
) -> None:
    """Add the shares of Grad-CAM inside the lesions."""
    try:
        inside = shares_inside(home, masks, rows.tolist())
    except UserError as error:
        found.notes.append(f"No maps: {error}.")
        return
    mapped = np.isfinite(inside)
    shares = map_shares(inside[mapped], area[rows][mapped], home.clean.take(rows[mapped]), home.yardstick)
    found.flags += flag_maps(shares)
    found.tables.append(
        {
            "title": f"Grad-CAM of the most probable class, {mapped.sum()} images",
            "columns": [
                "Mean",
                "Share of the map inside the lesion",
                "Share of the image that the lesion is",
                "Difference",
            ],
            "rows": [{"name": "over the images", "cells": [shares[name] for name in (INSIDE, AREA, EXCESS)]}],
        }
    )


def _pictures(home: ImageSet, masks: Sequence[Mask], changes: Sequence[_Change], row: int, seed: int) -> list[Shown]:
    """Return the pictures of an image under each change that it is measured under, and its map."""
    title, image = f"{home.rows['label'][row]}, {home.rows['image_id'][row]}", home.pixels[row]
    shown = [Shown(title, "unaltered", image)]
    shown += [
        Shown(title, f"{change.name} {change.dose}".strip(), _altered(masks, change, seed, image, row))
        for change in changes
        if change.rows[row]
    ]
    return [*shown, Shown(title, "Grad-CAM", map_picture(home, row))]
