"""The calibrator, the thresholds and the input gate of a bundle, fitted on the runs behind it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skinlab.errors import UserError
from skinlab.evaluation.alignment import align_rows
from skinlab.evaluation.calibration import CALIBRATORS, fit_calibrator
from skinlab.evaluation.frozen_thresholds import FrozenThreshold
from skinlab.evaluation.operating import ThresholdSettings, freeze_thresholds
from skinlab.evaluation.predictions import Predictions
from skinlab.inference.bundle import Bundle
from skinlab.inference.combining import check_calibrator, combine_as
from skinlab.inference.gating import find_split, fit_run_gate
from skinlab.json_files import read_json
from skinlab.tables.predictions import read_predictions

log = logging.getLogger(__name__)


def with_calibrator(bundle: Bundle, places: Sequence[str], wanted: str) -> Bundle:
    """Return the bundle with the calibrator that is asked for: by a method's name, or in a JSON file.

    Raises:
        UserError: neither a method nor such a file, or the runs have no validation predictions to fit it on.
    """
    if wanted == "none":
        return bundle
    if wanted not in CALIBRATORS:
        content = read_json(
            wanted,
            "calibrator",
            {},
            setting="calibrator",
            remedy=f"choose {', '.join(CALIBRATORS)} or give a JSON file",
        )
        return replace(bundle, calibrator=content if check_calibrator(content, bundle) else None)
    if bundle.calibrator is not None:
        raise UserError(f"calibrator={wanted}: {places[0]} has a calibrator already; give the runs it was made of")
    rows = validation_rows(bundle, places, f"calibrator={wanted}")
    try:
        fitted = fit_calibrator(wanted, rows.probabilities, rows.target)
    except ValueError as error:
        raise UserError(f"calibrator={wanted} on {_tables_of(places)}: {error}") from None
    log.info("calibrator: %s, fitted on %d validation rows", wanted, len(rows))
    return replace(bundle, calibrator=fitted.to_dict())


def validation_rows(bundle: Bundle, places: Sequence[str], setting: str) -> Predictions:
    """Return the validation rows of the bundle's runs with the probabilities that it gives them, calibrated if it is.

    Raises:
        UserError: the runs have none, or not the same ones.
    """
    tables = [_table_of(place) for place in places]
    lacking = [str(table) for table in tables if not table.is_file()]
    if lacking or len(places) != len(bundle.members):
        there = f"there is no {lacking[0]}" if lacking else f"{places[0]} is an ensemble without those of its members"
        raise UserError(
            f"{setting} wants validation predictions, and {there}; give runs, or a JSON file with what is wanted"
        )
    try:
        read = align_rows([read_predictions(table) for table in tables], [str(table) for table in tables])
    except ValueError as error:
        raise UserError(f"{setting}: {error}") from None
    if read[0].classes != bundle.classes:
        raise UserError(f"{setting}: {tables[0]} is of other classes than its model; give a run as it was written")
    probabilities = combine_as(bundle, np.stack([each.probabilities for each in read]))
    if bundle.calibrator is not None:
        probabilities = check_calibrator(bundle.calibrator, bundle)(probabilities)
    return read[0].with_probabilities(probabilities)


def with_thresholds(bundle: Bundle, places: Sequence[str], config: dict[str, Any]) -> Bundle:
    """Return the bundle with the thresholds of an evaluation's file, or of rules chosen on the runs' validation rows.

    Raises:
        UserError: the file holds none, those of several systems or other classes; or there are no rows to choose on.
    """
    wanted = config["thresholds"]
    if wanted is None:
        return bundle
    if isinstance(wanted, str):
        thresholds = read_thresholds(wanted, bundle)
        if bundle.calibrator is not None:
            log.warning(
                "thresholds=%s must be of probabilities that this bundle's calibrator has calibrated; rules are chosen "
                "on those: thresholds=[%s]",
                wanted,
                ",".join(each.rule for each in thresholds),
            )
        return replace(bundle, thresholds=[each.to_dict() for each in thresholds])
    rows = validation_rows(bundle, places, f"thresholds=[{','.join(wanted)}]")
    positive = config["positive"] or ([bundle.positive_output] if bundle.positive_output else [])
    choice = ThresholdSettings(wanted, config["cost_ratio"], seed=config["seed"], positive=positive)
    try:
        thresholds = freeze_thresholds(rows.binary(positive), choice, "val")
    except ValueError as error:
        raise UserError(f"thresholds=[{','.join(wanted)}] on {_tables_of(places)}: {error}") from None
    for each in thresholds:
        log.info(
            "threshold %s of %s: %.4f (%.4f to %.4f), %s",
            *(each.rule, ",".join(each.positive), each.threshold, each.low, each.high, each.chosen_on),
        )
    return replace(bundle, thresholds=[each.to_dict() for each in thresholds])


def read_thresholds(place: str, bundle: Bundle) -> list[FrozenThreshold]:
    """Read the thresholds of an evaluation's ``thresholds.json``.

    Raises:
        UserError: the file holds none, those of several systems, or those for other classes than the bundle's.
    """
    setting = f"thresholds={place}"
    content = read_json(
        place,
        "thresholds.json of an evaluation",
        setting="thresholds",
        remedy="give such a file, or rules: thresholds=[f1]",
    )
    if isinstance(content, dict):
        if len(content) != 1:
            raise UserError(f"{setting} holds thresholds of {len(content)} systems; keep those of one")
        (content,) = content.values()
    try:
        thresholds = [FrozenThreshold.from_dict(row) for row in content]
        for each in thresholds:
            if not each.threshold >= 0:
                raise ValueError(f"{each.threshold} is no threshold")
            if not set() < set(each.positive) < set(bundle.classes):
                classes = ", ".join(bundle.classes)
                raise ValueError(f"its positive classes {each.positive} are not some of the model's {classes}")
    except (TypeError, ValueError) as error:
        raise UserError(f"{setting} is no thresholds.json of an evaluation of this model ({error})") from None
    return thresholds


def with_gate(bundle: Bundle, places: Sequence[str], config: dict[str, Any]) -> Bundle:
    """Return the bundle with an input gate fitted on the training images of the first run, if it is wanted.

    Raises:
        UserError: ``gate=fit``, and there is no split or its images are not there.
    """
    if config["gate"] == "none":
        return replace(bundle, gate=None)
    if config["gate"] == "auto" and config["gate_split"] is None and bundle.gate is not None:
        return bundle
    try:
        split = find_split(config["gate_split"], places)
        gate = fit_run_gate(
            split,
            alarms=config["gate_alarms"],
            limit=config["gate_images"],
            num_workers=config["num_workers"],
            seed=config["seed"],
        )
    except UserError as error:
        if config["gate"] == "fit" or config["gate_split"] is not None:
            raise
        log.warning("no input gate: %s", error)
        return bundle
    return replace(bundle, gate=gate)


def _table_of(place: str) -> Path:
    return Path(place).expanduser() / "predictions" / "val.csv"


def _tables_of(places: Sequence[str]) -> str:
    return ", ".join(str(_table_of(place)) for place in places)
