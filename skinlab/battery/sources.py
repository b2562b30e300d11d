"""Other sources: the gap to home raw, at matched case mix and after a correction of the prior, and by source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from skinlab.battery.bench import Bench, ImageSet
from skinlab.battery.probe import Findings, NotRunError, Probe
from skinlab.evaluation.shift.flags import flag_changes
from skinlab.evaluation.shift.form import Condition, Table, TableRow
from skinlab.evaluation.shift.origin import (
    Side,
    by_source,
    called_note,
    case_mix_part,
    compare_matched,
    compare_raw,
    left_out_classes,
    matched_classes,
    mix_note,
)
from skinlab.evaluation.shift.prior_shift import PriorShift, estimate_prior_shift
from skinlab.evaluation.shift.yardstick import Yardstick


@dataclass(frozen=True)
class OtherSources(Probe):
    """The model on another place's images, against those at home.

    Args:
        n_draws: bootstrap samples of the estimated class shares.
    """

    n_draws: int = 200
    title: ClassVar[str] = "Other sources"
    question: ClassVar[str] = "Does it still find malignant lesions on another clinic's images, and is that case mix?"
    published: ClassVar[str] = (
        "The macro F1 of a model fell from .69 on HAM10000 to .43 on ISIC 2019. At another hospital four backbones had "
        "an AUROC of .80 to .89 instead of .95 to .97, and a sensitivity of .53 to .67 at the frozen threshold "
        "(arXiv 2606.13135). Matching the case mix alone raised a top-3 accuracy from 74 to 84 % (PMC12167068)."
    )

    def passes(self, bench: Bench) -> int:
        """Return 0: unaltered images are predicted once for all probes."""
        _places(bench)
        return 0

    def run(self, bench: Bench) -> Findings:
        """Return both places as they are, at matched case mix, corrected for the prior, and their sources."""
        home, outside = (_side(each) for each in _places(bench))
        yardstick, found = bench.yardstick, Findings(reference="home, at the same case mix where one is named")
        found.conditions = compare_raw(home, outside, yardstick)
        raw, classes = found.conditions[1], matched_classes(home, outside, yardstick.positive)
        if classes:
            matched = compare_matched(home, outside, classes, yardstick)
            found.notes += mix_note(raw, matched, case_mix_part(home, outside, classes, yardstick))
            found.conditions += matched
        else:
            found.notes.append("Not compared at matched case mix: no positive and no other class is in both places.")
        found.notes.append(called_note(home, outside, yardstick))
        if missing := left_out_classes(home, outside, classes):
            found.notes.append(missing)
        found.flags = flag_changes(found.conditions, "Of images ", verb="differs from home in")
        self._correct(home, outside, yardstick, found)
        found.conditions += by_source(home, yardstick) + by_source(outside, yardstick)
        return found

    def _correct(self, home: Side, outside: Side, yardstick: Yardstick, found: Findings) -> None:
        """Add the correction of the prior, or why it is refused."""
        shift = estimate_prior_shift(
            outside.table,
            home.table,
            yardstick.positive,
            level=yardstick.level,
            n_draws=self.n_draws,
            seed=yardstick.seed,
        )
        found.tables.append(_estimates(shift))
        if shift.refusals:
            found.notes.append(f"Correction of the prior refused: {'; '.join(shift.refusals)}.")
            return
        found.conditions.append(_corrected(shift, home, outside, yardstick))


def _places(bench: Bench) -> tuple[ImageSet, ImageSet]:
    if bench.outside is None:
        raise NotRunError(
            "there are no images of another source: name a data set, such as data=ph2 data.root=DIR, or data=table "
            "data.table=FILE.csv"
        )
    if bench.home is None:
        raise NotRunError("there are no images at home to compare with: give a run, or home=RUN for a bundle")
    return bench.home, bench.outside


def _side(images: ImageSet) -> Side:
    return Side(images.name, images.clean, images.own_thresholds)


def _estimates(shift: PriorShift) -> Table:
    """Return the estimated shares beside those of the labels."""
    rows: list[TableRow] = [
        {"name": name, "cells": [share.to_dict(), f"{shift.labelled[name]:.3f}"]}
        for name, share in {"positive": shift.positive, **shift.shares}.items()
    ]
    rows.insert(1, {"name": "positive, by the adjusted count", "cells": [shift.counted.to_dict(), rows[0]["cells"][1]]})
    return {
        "title": "Class shares outside, estimated from the probabilities alone by EM (Saerens et al., 2002)",
        "columns": ["Class", "Estimated share", "Labelled share"],
        "rows": rows,
    }


def _corrected(shift: PriorShift, home: Side, outside: Side, yardstick: Yardstick) -> Condition:
    """Return the outside images with probabilities corrected to the estimated shares, with their changes to home."""
    prior = np.bincount(home.table.target, minlength=len(home.table.classes)) / len(home.table)
    side = Side(outside.name, shift.correct(outside.table, prior), outside.thresholds)
    samples = side.samples(yardstick)
    found = side.condition(yardstick, samples, "prior corrected by EM")
    found["changes"] = yardstick.unpaired(samples, home.samples(yardstick))
    return found
