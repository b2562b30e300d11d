"""The calibrator and the thresholds of a bundle: fitted on validation predictions, or read from a file."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from skinlab.errors import UserError
from skinlab.evaluation.calibration.at_prevalence import CalibratorAtPrevalence
from skinlab.evaluation.calibration.calibrators import CALIBRATORS, cross_fit, fit_calibrator
from skinlab.evaluation.calibration.conformal import ConformalSets, groups_needed
from skinlab.evaluation.calibration.stated_prevalence import StatedPrevalence
from skinlab.evaluation.ensembles.pooling import scale_cautions
from skinlab.evaluation.overlap import FittedOn
from skinlab.evaluation.predictions import Predictions, check_positive
from skinlab.evaluation.thresholds.choice import is_fixed
from skinlab.evaluation.thresholds.decision import Decision, DecisionSettings, choose_decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold, fixed_threshold
from skinlab.evaluation.thresholds.operating import ThresholdSettings, freeze_thresholds
from skinlab.inference.bundle import Bundle
from skinlab.inference.ensembling import combine_members
from skinlab.inference.learned import read_calibrator
from skinlab.json_files import read_json
from skinlab.tables.thresholds import read_thresholds

log = logging.getLogger(__name__)


def bundle_predictions(bundle: Bundle, members: Sequence[Predictions]) -> Predictions:
    """Return the predictions of a bundle on rows that each of its members has predicted, in the same order."""
    return members[0].with_probabilities(combine_members(bundle, np.stack([each.probabilities for each in members])))


def rows_name(rows: Predictions) -> str:
    """Return what validation rows are called in a record: ``out of fold`` where they are of several folds."""
    return "out of fold" if len(set(rows.fold)) > 1 else "val"


def with_calibrator(
    method: str, bundle: Bundle, validation: Sequence[Predictions], stated: StatedPrevalence | None = None
) -> Bundle:
    """Return the bundle with a calibrator of its probabilities, and the rows that it is fitted on.

    Args:
        method: ``temperature``, ``vector`` or ``isotonic``.
        bundle: not yet calibrated.
        validation: predictions of its members on the validation images.
        stated: the prevalence that its probabilities are corrected to; None for that of the validation images.

    Raises:
        ValueError: the images don't allow it.
    """
    rows = bundle_predictions(bundle, validation)
    fitted = fit_calibrator(method, rows.probabilities, rows.target)
    log.info("calibrator: %s, fitted on %d validation images", method, len(rows))
    content = fitted.to_dict()
    if stated is not None:
        content = CalibratorAtPrevalence.of(fitted, stated, rows.target).to_dict()
        log.info("its probabilities are corrected to prevalence=%g", stated.share)
    fit = FittedOn.of(f"the calibrator {method}", rows_name(rows), rows)
    return replace(bundle, calibrator=content).with_fit("calibrator", fit)


@dataclass(frozen=True)
class Selection:
    """The validation images that a bundle's thresholds, rule for the called class and conformal sets are chosen on.

    Attributes:
        bundle: with its calibrator, if it has one.
        validation: predictions of its members on the validation images.
        seed: of the folds.
        stated: the prevalence that the bundle's calibrator is corrected to.
    """

    bundle: Bundle
    validation: Sequence[Predictions]
    seed: int
    stated: StatedPrevalence | None = None

    @property
    def is_cross_fitted(self) -> bool:
        """Return whether the calibrator was fitted on these images, and is therefore cross-fitted for a choice."""
        return "calibrator" in self.bundle.fitted_on

    @property
    def name(self) -> str:
        """Return the images in words."""
        name = rows_name(self.validation[0])
        return f"{name}, calibrator cross-fitted" if self.is_cross_fitted else name

    @cached_property
    def rows(self) -> Predictions:
        """Return the images with the probabilities that the bundle would give them if they were new.

        A calibrator makes the images that it is fitted on look better than new ones, and what is chosen on them then
        covers and finds too few. So each image has the probabilities of a calibrator fitted on other groups
        (cross-fitting, as for stacking: Wolpert, 1992, "Stacked generalization").

        Raises:
            ValueError: there are fewer than two groups.
        """
        if not self.is_cross_fitted or self.bundle.calibrator is None:
            return bundle_predictions(self.bundle, self.validation)
        rows = bundle_predictions(replace(self.bundle, calibrator=None), self.validation)
        arrays = rows.probabilities, rows.target, rows.group
        method = self.bundle.calibrator["method"]
        return rows.with_probabilities(cross_fit(method, *arrays, seed=self.seed, stated=self.stated))


def read_calibrator_file(place: str, bundle: Bundle) -> dict[str, Any]:
    """Read a calibrator from a JSON file.

    Raises:
        UserError: there is no such file, or its calibrator is of other classes.
    """
    remedy = f"choose {', '.join(CALIBRATORS)} or give a JSON file"
    content: dict[str, Any] = read_json(place, "calibrator", {}, setting="calibrator", remedy=remedy)
    read_calibrator(content, len(bundle.classes))
    return content


def conformal_of(level: float, selection: Selection) -> ConformalSets:
    """Choose the thresholds of conformal sets on the calibrated predictions of the validation images.

    Args:
        level: coverage promised.
        selection: the validation images.

    Raises:
        ValueError: the images don't allow it.
    """
    fitted = ConformalSets.fit(selection.rows, level, selection.name)
    log.info("conformal sets: all images of %.4g%% of new lesions, chosen on %s", 100 * level, fitted.chosen_on)
    if fitted.unpromised:
        few = ", ".join(f"{selection.bundle.classes[i]} ({fitted.groups[i]})" for i in fitted.unpromised)
        log.warning(
            "conformal=%.4g needs %d lesions a class: no coverage is promised for %s", level, groups_needed(level), few
        )
    return fitted


def decision_of(selection: Selection, settings: DecisionSettings) -> Decision:
    """Choose the rule for the called class on the combined, then calibrated predictions of the validation images.

    Args:
        selection: the validation images; the classes' shares are theirs where the bundle has a calibrator, which is
            fitted for these shares or corrected to a prevalence, and else those of the training batches.
        settings: the rule.

    Raises:
        ValueError: the rule is none, or the images don't allow it.
    """
    bundle = selection.bundle
    prior = bundle.training_prior if bundle.calibrator is None and min(bundle.training_prior) > 0 else None
    settings = replace(settings, prior=prior, corrected=selection.stated is not None)
    decision = choose_decision(selection.rows, settings, selection.name)
    named = zip(decision.classes, decision.weights, strict=True)
    log.info("decide=%s: weights %s", decision.rule, ", ".join(f"{name} {weight:.3g}" for name, weight in named))
    return decision


def choose_thresholds(selection: Selection, choice: ThresholdSettings) -> list[FrozenThreshold]:
    """Choose thresholds by rules on the calibrated predictions of the validation images.

    Fixed thresholds need none.

    Args:
        selection: the validation images.
        choice: the rules, and the positive classes they are for.

    Raises:
        ValueError: the images don't allow it.
    """
    positive = choice.positive or []
    check_positive(positive, selection.bundle.classes)
    if all(map(is_fixed, choice.rules)):
        thresholds = [fixed_threshold(rule, positive, choice.cost_ratio) for rule in choice.rules]
    else:
        thresholds = freeze_thresholds(selection.rows.binary(positive), choice, selection.name)
    for each in thresholds:
        log.info("threshold %s of %s: %s, %s", each.rule, ",".join(each.positive), each.in_words(), each.chosen_on)
    return thresholds


def fit_scale_cautions(bundle: Bundle, fits: Iterable[FittedOn]) -> list[str]:
    """Return a sentence where some of a bundle's fits were made out of fold, and its members are averaged."""
    return scale_cautions({fit.what: fit.chosen_on for fit in fits}, len(bundle.members))


def read_bundle_thresholds(place: str, bundle: Bundle) -> list[FrozenThreshold]:
    """Read the thresholds of an evaluation's ``thresholds.json``.

    Raises:
        UserError: the file holds none, those of several systems, or those for other classes than the bundle's.
    """
    thresholds = read_thresholds(place, "thresholds")
    for each in thresholds:
        if not set() < set(each.positive) < set(bundle.classes):
            raise UserError(
                f"thresholds={place}: its positive classes {', '.join(each.positive)} are not some of the model's "
                f"{', '.join(bundle.classes)}; give the file of an evaluation of this model"
            )
    if bundle.calibrator is not None:
        log.warning(
            "thresholds=%s must be of probabilities that this bundle's calibrator has calibrated; rules are chosen on "
            "those: 'thresholds=[%s]'",
            place,
            ",".join(each.rule for each in thresholds),
        )
    return thresholds
