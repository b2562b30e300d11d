"""The calibrator and the thresholds of a bundle: fitted on validation predictions, or read from a file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skinlab.errors import UserError
from skinlab.evaluation.calibration.calibrators import CALIBRATORS, fit_calibrator
from skinlab.evaluation.calibration.conformal import ConformalSets, groups_needed
from skinlab.evaluation.overlap import FittedOn
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds.decision import Decision, DecisionSettings, choose_decision
from skinlab.evaluation.thresholds.frozen import FrozenThreshold
from skinlab.evaluation.thresholds.operating import ThresholdSettings, freeze_thresholds
from skinlab.inference.bundle import Bundle, read_calibrator
from skinlab.inference.ensembling import combine_members
from skinlab.json_files import read_json
from skinlab.tables.thresholds import read_thresholds

log = logging.getLogger(__name__)


def bundle_predictions(bundle: Bundle, members: Sequence[Predictions]) -> Predictions:
    """Return the predictions of a bundle on rows that each of its members has predicted, in the same order."""
    return members[0].with_probabilities(combine_members(bundle, np.stack([each.probabilities for each in members])))


def with_calibrator(method: str, bundle: Bundle, validation: Sequence[Predictions]) -> Bundle:
    """Return the bundle with a calibrator of its probabilities, and the rows that it is fitted on.

    Args:
        method: ``temperature``, ``vector`` or ``isotonic``.
        bundle: not yet calibrated.
        validation: predictions of its members on the validation images.

    Raises:
        ValueError: the images don't allow it.
    """
    rows = bundle_predictions(bundle, validation)
    fitted = fit_calibrator(method, rows.probabilities, rows.target)
    log.info("calibrator: %s, fitted on %d validation images", method, len(rows))
    fit = FittedOn.of(f"the calibrator {method}", "val", rows)
    return replace(bundle, calibrator=fitted.to_dict()).with_fit("calibrator", fit)


def read_calibrator_file(place: str, bundle: Bundle) -> dict[str, Any]:
    """Read a calibrator from a JSON file.

    Raises:
        UserError: there is no such file, or its calibrator is of other classes.
    """
    remedy = f"choose {', '.join(CALIBRATORS)} or give a JSON file"
    content: dict[str, Any] = read_json(place, "calibrator", {}, setting="calibrator", remedy=remedy)
    read_calibrator(content, len(bundle.classes))
    return content


def conformal_of(level: float, bundle: Bundle, validation: Sequence[Predictions]) -> ConformalSets:
    """Choose the thresholds of conformal sets on the calibrated predictions of the validation images.

    Args:
        level: coverage promised.
        bundle: with its calibrator, if it has one.
        validation: predictions of its members on the validation images.

    Raises:
        ValueError: the images don't allow it.
    """
    fitted = ConformalSets.fit(bundle_predictions(bundle, validation), level, "val")
    log.info("conformal sets: all images of %.4g%% of new lesions, chosen on %s", 100 * level, fitted.chosen_on)
    if fitted.unpromised:
        few = ", ".join(f"{bundle.classes[i]} ({fitted.groups[i]})" for i in fitted.unpromised)
        log.warning(
            "conformal=%.4g needs %d lesions a class: no coverage is promised for %s", level, groups_needed(level), few
        )
    return fitted


def decision_of(bundle: Bundle, validation: Sequence[Predictions], settings: DecisionSettings) -> Decision:
    """Choose the rule for the called class on the combined, then calibrated predictions of the validation images.

    Args:
        bundle: with its calibrator, if it has one; the classes' shares are then those of the validation images, for
            which it is fitted, and else those of the training batches.
        validation: predictions of its members on the validation images.
        settings: the rule.

    Raises:
        ValueError: the rule is none, or the images don't allow it.
    """
    prior = bundle.training_prior if bundle.calibrator is None and min(bundle.training_prior) > 0 else None
    decision = choose_decision(bundle_predictions(bundle, validation), replace(settings, prior=prior), "val")
    named = zip(decision.classes, decision.weights, strict=True)
    log.info("decide=%s: weights %s", decision.rule, ", ".join(f"{name} {weight:.3g}" for name, weight in named))
    return decision


def choose_thresholds(
    bundle: Bundle, validation: Sequence[Predictions], choice: ThresholdSettings
) -> list[FrozenThreshold]:
    """Choose thresholds by rules on the calibrated predictions of the validation images.

    Args:
        bundle: with its calibrator, if it has one.
        validation: predictions of its members on the validation images.
        choice: the rules, and the positive classes they are for.

    Raises:
        ValueError: the images don't allow it.
    """
    thresholds = freeze_thresholds(bundle_predictions(bundle, validation).binary(choice.positive or []), choice, "val")
    for each in thresholds:
        log.info(
            "threshold %s of %s: %s, %s",
            *(each.rule, ",".join(each.positive), each.in_words(), each.chosen_on),
        )
    return thresholds


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
            "those: thresholds=[%s]",
            place,
            ",".join(each.rule for each in thresholds),
        )
    return thresholds
