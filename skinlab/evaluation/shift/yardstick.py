"""Measure predictions by what harms patients: sensitivity at a frozen threshold and calibration, then rankings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from skinlab.evaluation.evidence.interval_form import Interval
from skinlab.evaluation.evidence.views import View
from skinlab.evaluation.metrics.metric import MIN_GROUPS
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.shift.form import Change, Condition
from skinlab.evaluation.statistics.bootstrap import BootstrapSamples, Resampler, bootstrap
from skinlab.evaluation.statistics.unpaired import difference_p, unpaired_difference

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Samples = Mapping[str, BootstrapSamples]

DRAWS = 100  # only for the share in which a metric is undefined; intervals come from the jackknife
LEAST_P = 1e-5  # of the intervals, which need no bootstrap samples; a probe corrects over a hundred conditions
POSITIVE = "positive"
OF_POSITIVE = (
    "sensitivity",
    "specificity",
    "ece",
    f"calibration_slope/{POSITIVE}",
    f"calibration_intercept/{POSITIVE}",
    "brier",
    f"auroc/{POSITIVE}",
)
OF_ALL = ("balanced_accuracy", "auroc_macro")
FLIPPED = "flipped"
MAX_FLIPPED = 0.05  # share of flipped decisions above which an alteration is flagged; scale bars: PubMed 33465706


@dataclass(frozen=True)
class Yardstick:
    """How all conditions are measured.

    Attributes:
        positive: the classes whose summed probability is the score, such as the malignant ones.
        threshold: of the score, chosen at home; an image is called at ``score >= threshold``. Of home's own images one
            for each, where it was chosen on them by cross-fitting.
        level: of the intervals.
        seed: of the bootstrap samples.
    """

    positive: Sequence[str]
    threshold: float
    level: float = 0.95
    seed: int = 0

    def view(self, table: Predictions) -> Predictions:
        """Return the positive classes against the others, the positive last."""
        return table.binary(self.positive)

    def calls(self, table: Predictions) -> Bools:
        """Return which images are called positive, ``(N,)``."""
        return np.asarray(self.view(table).probabilities[:, 1] >= self.threshold)

    def samples(
        self,
        table: Predictions,
        thresholds: Floats | None = None,
        weighting: Callable[[Floats], Floats] | None = None,
    ) -> dict[str, BootstrapSamples]:
        """Return the bootstrap samples of each metric.

        Args:
            table: N images.
            thresholds: of each image, ``(N, R)``; None for the frozen one.
            weighting: to another case mix, such as a :class:`skinlab.evaluation.shift.case_mix.CaseMix`.
        """
        view, rows = self.view(table), np.ones(len(table), bool)
        at = np.full((len(table), 1), self.threshold) if thresholds is None else thresholds
        found = dict.fromkeys(
            OF_POSITIVE, View([view], list(OF_POSITIVE), at, weighting=weighting).samples(rows, seed=self.seed)
        )
        if len(table.classes) > 2:
            whole = View([table], list(OF_ALL), weighting=weighting).samples(rows, seed=self.seed)
            found |= dict.fromkeys(OF_ALL, whole)
        return {name: each for name, each in found.items() if name in each.estimate}

    def intervals(self, samples: Samples) -> dict[str, Interval]:
        """Return each metric with its interval."""
        return {name: each.interval(name, self.level).to_dict() for name, each in samples.items()}

    def paired(self, here: Samples, reference: Samples) -> dict[str, Change]:
        """Return the differences to a reference on the same images, here minus reference."""
        return {name: self._change(each, reference[name], name) for name, each in here.items()}

    def _change(self, here: BootstrapSamples, reference: BootstrapSamples, name: str) -> Change:
        difference = here.minus(reference)
        interval = difference.interval(name, self.level)
        return {"difference": interval.to_dict(), "p": difference_p(difference, name, LEAST_P)}

    def unpaired(self, here: Samples, reference: Samples) -> dict[str, Change]:
        """Return the differences to a reference on other images, here minus reference."""
        found: dict[str, Change] = {}
        for name in here:
            interval, p = unpaired_difference(here[name], reference[name], name, self.level, least_p=LEAST_P)
            found[name] = {"difference": interval.to_dict(), "p": p}
        return found

    def called(self, table: Predictions, reference: Predictions) -> dict[str, Change]:
        """Return class → the change of the share of its images that are called positive, on the same images."""
        found = {}
        for number in np.unique(table.target):
            rows = table.target == number
            here, there = (self._share_called(each.take(rows)) for each in (table, reference))
            found[table.classes[number]] = self._change(here, there, "sensitivity")
        return found

    def _share_called(self, table: Predictions) -> BootstrapSamples:
        """Return the samples of the share of images that are called positive, which is the sensitivity if all were."""
        view = replace(self.view(table), target=np.ones(len(table), np.int64))
        at = np.full((len(table), 1), self.threshold)
        return View([view], ["sensitivity"], at).samples(np.ones(len(table), bool), seed=self.seed)

    def flipped(self, table: Predictions, reference: Predictions) -> tuple[Interval, float]:
        """Return the share of images whose decision is another than in a reference on the same images.

        Returns:
            The share; the p that it is :data:`MAX_FLIPPED`.
        """
        view = self.view(reference)
        samples = bootstrap(
            _Share(self.calls(table) != self.calls(reference)),
            Resampler(view.group, view.target, view.classes),
            n_draws=DRAWS,
            seed=self.seed,
        )
        p = difference_p(samples, FLIPPED, LEAST_P, expected=MAX_FLIPPED)
        return samples.interval(FLIPPED, self.level).to_dict(), p


class _Share:
    """The share of images that have something, under many weightings."""

    def __init__(self, has: Bools) -> None:
        self.has = has

    def __call__(self, weights: Floats) -> dict[str, Floats]:
        return {FLIPPED: self.has.astype(np.float64) @ weights / weights.sum(0)}

    def shares(self) -> dict[str, Bools]:
        return {FLIPPED: np.ones(len(self.has), bool)}


def condition(
    name: str, table: Predictions, yardstick: Yardstick, samples: Samples | None = None, dose: str = ""
) -> Condition:
    """Return a condition with its metrics, as yet without changes.

    Args:
        name: of the condition.
        table: predictions of N images under the condition.
        yardstick: how they are measured.
        samples: bootstrap samples of them; None to make these at the frozen threshold.
        dose: such as a severity.
    """
    return {
        "name": name,
        "dose": dose,
        "images": len(table),
        "groups": len(np.unique(table.group.astype(str))),
        "metrics": yardstick.intervals(yardstick.samples(table) if samples is None else samples),
        "changes": {},
    }


def altered_condition(
    name: str,
    dose: str,
    table: Predictions,
    clean: Predictions,
    reference: Samples,
    yardstick: Yardstick,
    samples: Samples | None = None,
) -> Condition:
    """Return a condition with its paired differences to the unaltered images, and the flipped decisions.

    Args:
        name: of the condition.
        dose: such as a severity.
        table: predictions of N images under the condition.
        clean: of the same images unaltered, in the same order.
        reference: bootstrap samples of `clean`.
        yardstick: how they are measured.
        samples: bootstrap samples of `table`; None to make them.
    """
    samples = yardstick.samples(table) if samples is None else samples
    found = condition(name, table, yardstick, samples, dose)
    found["changes"] = yardstick.paired(samples, reference)
    found["flipped"], found["flipped_p"] = yardstick.flipped(table, clean)
    return found


def has_both(view: Predictions) -> bool:
    """Return whether a binary view has groups enough on both sides for intervals."""
    group = view.group.astype(str)
    return all(len(np.unique(group[view.target == side])) >= MIN_GROUPS for side in (0, 1))
