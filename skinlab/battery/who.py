"""Who: metrics by sex, age, body site and skin tone, and their gaps to the other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from skinlab.alterations.lesion import skin_around
from skinlab.alterations.skin_tone import tone_band, typology_angle
from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.lesions import check_lesions, find_lesions
from skinlab.battery.probe import Findings, NotRunError, Probe
from skinlab.errors import UserError, nearest
from skinlab.evaluation.evidence.population_form import Subgroup
from skinlab.evaluation.evidence.rules import Rules
from skinlab.evaluation.evidence.subgroups import (
    UNKNOWN,
    Texts,
    age_bands,
    evaluate_subgroups,
    subgroup_columns,
    values_fault,
)
from skinlab.evaluation.evidence.views import OperatingRule
from skinlab.evaluation.shift.flags import LIMITS, flag_changes
from skinlab.evaluation.shift.form import Change, Condition, Flag

KNOWN = ("sex", "age", "site", "skin_tone")  # looked for where no columns are named
PROXY = "pixel ITA (weak proxy)"
WEAK = (
    "The pixel ITA, an angle of the colour of the skin around the lesion, is a weak proxy of skin tone: light, white "
    "balance and the dermoscope change it, and methods disagree (arXiv 2308.09640). No flag of it is more than one to "
    "watch."
)


@dataclass(frozen=True)
class Who(Probe):
    """Metrics of subgroups, each against the other images of its place; small subgroups are counted only.

    Args:
        columns: of the images' table; None for sex, age, site and skin_tone, those that are there.
        ita: whether images are also grouped by the pixel ITA of the skin around the lesion.
    """

    columns: Sequence[str] | None = None
    ita: bool = True
    title: ClassVar[str] = "Who"
    question: ClassVar[str] = "Does it work as well for each sex, age, body site and skin tone?"
    published: ClassVar[str] = "A model of HAM10000 had an AUROC of .72 on light and .57 on dark skin (PMC9374341)."

    def passes(self, bench: Bench) -> int:
        """Return 0: no image is predicted that is not predicted for all probes.

        Raises:
            UserError: a named column is in none of the places, or has no subgroups.
        """
        places = _places(bench)
        for name in self.columns or ():
            _check_column(name, places)
        if not self.ita and not any(_present(each, self.columns) for each in places):
            raise NotRunError(f"the images have none of the columns {', '.join(KNOWN)}: give data with one of them")
        if self.ita:
            for each in places:
                check_lesions(each, "probe.who.ita", segment=True)
        return 0

    def run(self, bench: Bench) -> Findings:
        """Return the metrics of each subgroup, and the flags of those that fall behind."""
        found = Findings(reference="the other images")
        for images in _places(bench):
            columns = _columns(images, _present(images, self.columns))
            if self.ita:
                columns |= _tones(images, found)
            where = "" if images is bench.home else ", outside"
            found.conditions += [each | {"name": each["name"] + where} for each in _conditions(images, columns)]
        found.flags = _flags(found.conditions)
        if self.ita:
            found.notes.append(WEAK)
        return found


def _places(bench: Bench) -> list[ImageSet]:
    """Return the images at home and outside, those that are there."""
    return [each for each in (bench.home, bench.outside) if each is not None]


def _present(images: ImageSet, columns: Sequence[str] | None) -> list[str]:
    """Return the columns that images have subgroups in."""
    return [
        name for name in (KNOWN if columns is None else columns) if name in images.rows and not _fault(images, name)
    ]


def _fault(images: ImageSet, name: str) -> str:
    values = _texts(images.rows[name])
    return values_fault(age_bands(values) if name == "age" else values)


def _texts(column: pd.Series[str]) -> list[str]:
    return column.astype(object).fillna("").astype(str).tolist()


def _check_column(name: str, places: Sequence[ImageSet]) -> None:
    """Refuse a named column that no place has, or of one value or very many.

    Raises:
        UserError: it is so.
    """
    if any(_present(each, [name]) for each in places):
        return
    having = [each for each in places if name in each.rows]
    if having:
        raise UserError(f"probe.who.columns: {name}: {_fault(having[0], name)}")
    there = [column for column in KNOWN if any(column in each.rows for each in places)]
    raise UserError(
        f"probe.who.columns: {name} is no column of {' or '.join(each.name for each in places)} (there are: "
        f"{', '.join(there) or 'none of ' + ', '.join(KNOWN)}){nearest(name, there)}; name a column of the data"
    )


def _columns(images: ImageSet, names: Sequence[str]) -> dict[str, Texts]:
    """Return the value of each image in each column, ages in bands."""
    texts = pd.DataFrame({name: pd.Series(_texts(images.rows[name]), dtype=object) for name in names})
    return subgroup_columns(images.clean, texts, names)


def _tones(images: ImageSet, found: Findings) -> dict[str, Texts]:
    """Return the class of the pixel ITA of each image, where there are two classes or more."""
    lesions = find_lesions(images, segment=True)
    angles = [
        np.nan if mask is None else typology_angle(pixels, skin_around(mask))
        for pixels, mask in zip(images.pixels, lesions.masks, strict=True)
    ]
    bands = [tone_band(angle) for angle in angles]
    found.notes.append(f"Skin around the lesion, {images.name}. {lesions.in_words()}")
    values = np.array([band or UNKNOWN for band in bands], object)
    return {} if values_fault(bands) else {PROXY: values}


def _conditions(images: ImageSet, columns: dict[str, Texts]) -> list[Condition]:
    """Return the metrics of each subgroup at the frozen threshold, and its differences to the other images."""
    yardstick, thresholds = images.yardstick, images.own_thresholds
    if thresholds is None:
        thresholds = np.full((len(images), 1), yardstick.threshold)
    view = yardstick.view(images.clean)
    rules = Rules(lambda _: view, at=OperatingRule("frozen", thresholds))
    found = evaluate_subgroups([images.clean], [view], columns, rules=rules, level=yardstick.level, seed=yardstick.seed)
    return [] if found is None else [_condition(each) for each in found["subgroups"]]


def _condition(found: Subgroup) -> Condition:
    metrics = (found["metrics"] or {}) | (found["binary"] or {})
    changes: dict[str, Change] = {
        name: {"difference": each["difference"], "p": each["p"]} for name, each in found["differences"].items()
    }
    condition: Condition = {
        "name": found["column"],
        "dose": found["value"],
        "images": found["rows"],
        "groups": found["groups"],
        "metrics": metrics,
        "changes": changes,
    }
    return condition | {"note": found["note"]} if found["note"] else condition


def _flags(conditions: Sequence[Condition]) -> list[Flag]:
    """Return the flags of known subgroups; those of the proxy are to watch."""
    known = [each for each in conditions if each["dose"] != UNKNOWN]
    proxy = [each for each in known if each["name"].startswith(PROXY)]
    others = [each for each in known if not each["name"].startswith(PROXY)]
    limits = [replace(limit, breaks=False) for limit in LIMITS]
    what, verb = "The subgroup ", "differs from the other images in"
    return flag_changes(others, what, LIMITS, verb) + flag_changes(proxy, what, limits, verb)
