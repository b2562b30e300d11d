"""What is known of a metric: how it is computed, resampled, read and shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from skinlab.evaluation.metrics.functions import Compute

Scope = Literal["all", "positive", "class"]
# What a metric needs groups of, for an interval: all images together, each class that is there, its class, the rest.
Needs = Literal["images", "classes", "class", "rest", "both"]
# What the metric is a share of: all images, those of its class, of the rest, predicted to be of its class, or not.
ShareOf = Literal["images", "class", "rest", "predicted", "not predicted"]
# Where a metric is shown: the table at the end of a run and W&B's summary, the report, the model card, the table of
# subgroups (only what does not depend on the class mix), the table of many systems, the picture of a run with several
# or two classes, the tables of calibration, and the headline of positive classes against all others.
Place = Literal[
    "terminal", "page", "card", "subgroups", "leaderboard", "picture", "picture_of_two", "calibration", "positive_view"
]

UNBOUNDED = (-np.inf, np.inf)
MIN_GROUPS = 5  # of a class; with fewer an interval covers less than it promises


@dataclass(frozen=True)
class Metric:
    """A metric: how it is computed, read and shown.

    Attributes:
        name: in ``metrics.json``; of a metric per class without the class.
        label: as people read it.
        short: the label where there is little room, if it is another.
        compute: maps weighted predictions to ``(B,)``, or ``(C, B)`` for a metric per class; NaN where undefined.
        scope: ``all`` images, the ``positive`` one of two classes, or each ``class`` against the others
            (``name/<class>``).
        direction: whether larger (``max``) or smaller (``min``) values are better; None where neither is true.
        bounds: least and greatest value.
        bounds_of_two: the same of two classes, where it differs.
        shown: where it is shown; a metric per class is a column of the table of classes there.
        meaning: what it says, for readers who don't compute it; where it stands as a headline.
        epoch: whether it is logged after each epoch and can be ``callbacks.monitor``.
        resampled: how it is computed on a bootstrap sample, where that is not the same as on the table itself.
        stratified: whether it depends on the images within each class alone, so that the numbers of groups of the
            classes are held fixed in its variance; else they are redrawn, since it depends on the class mix.
        heavy_tails: whether few images may carry most of it, which leaves its variance fewer degrees of freedom.
        needs: what its interval needs groups of.
        min_groups: the fewest of these groups with which its interval covers what it promises (docs/coverage.md).
        share_of: the images it is a share of; its interval is Wilson's.
        like_share: whether it is a mean or a ratio of shares, whose interval is Wilson's, too.
        ranking: whether it ranks images. The few images of a class are too much alike: the interval has no more degrees
            of freedom than the rarer of two classes has groups, less one, and that of an AUROC is widened.
        no_interval: why it never has an interval.
        in_sentence: its label within a sentence, where that is not the label with a small first letter.
    """

    name: str
    label: str
    compute: Compute
    scope: Scope = "all"
    direction: Literal["min", "max"] | None = "max"
    bounds: tuple[float, float] = (0.0, 1.0)
    bounds_of_two: tuple[float, float] | None = None
    shown: tuple[Place, ...] = ()
    meaning: str = ""
    epoch: bool = False
    resampled: str = ""
    stratified: bool = False
    heavy_tails: bool = False
    needs: Needs = "images"
    min_groups: int = MIN_GROUPS
    share_of: ShareOf | None = None
    like_share: bool = False
    ranking: bool = False
    no_interval: str = ""
    in_sentence: str = ""
    short: str = ""

    def bounds_of(self, n_classes: int) -> tuple[float, float]:
        """Return the least and greatest value that it can have with a number of classes."""
        return self.bounds_of_two if n_classes == 2 and self.bounds_of_two else self.bounds

    @property
    def decides(self) -> bool:
        """Whether it counts decisions, so that two systems with the same decisions have the same value."""
        return self.share_of is not None or self.like_share
