"""A bundle from runs: members, calibrator, thresholds and input gate put together, written, or exported."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skinlab.data.datamodule import loading_processes
from skinlab.errors import UserError, nearest
from skinlab.evaluation.alignment import agree
from skinlab.evaluation.calibration import METHODS as CALIBRATIONS
from skinlab.evaluation.calibration import Calibrator, calibrator_from_dict, fit_calibrator
from skinlab.evaluation.ensembles import combine
from skinlab.evaluation.frozen_thresholds import FrozenThreshold
from skinlab.evaluation.operating import Choice, freeze_thresholds
from skinlab.evaluation.predictions import Predictions
from skinlab.evaluation.thresholds import parse_rule, positive_score
from skinlab.files import claim_file
from skinlab.json_files import read_json
from skinlab.models.bundle import Bundle, load_bundle, save_bundle
from skinlab.models.ensembling import ensemble
from skinlab.models.export import write_onnx, write_timm
from skinlab.runtime.gating import find_split, fit_run_gate
from skinlab.runtime.name_lists import read_names
from skinlab.runtime.prediction_tables import read_predictions
from skinlab.runtime.run_directory import replacing
from skinlab.runtime.seen_images import members_images

log = logging.getLogger(__name__)

FORMATS = {"bundle": ".bundle", "safetensors": ".safetensors", "onnx": ".onnx"}
GATES = ("auto", "fit", "none")


def make_bundle(config: dict[str, Any]) -> None:
    """Put the models of ``ckpt`` into the one file ``output``.

    Args:
        config: the resolved config of ``conf/bundle.yaml``.

    Raises:
        UserError: whatever a person must mend; nothing has been written then.
    """
    places, output = check_settings(config)
    with claim_file(output):
        _make_bundle(config, places, output)


def _make_bundle(config: dict[str, Any], places: list[str], output: Path) -> None:
    models = [load_bundle(place) for place in places]
    bundle = ensemble(models, places, method=config["combine"], weights=config["weights"])
    if config["format"] == "onnx" and bundle.method in ("rank", "overlap"):
        raise UserError(f"format=onnx: a graph can't hold method={bundle.method}; use format=bundle")
    if bundle.method == "overlap" and (config["calibrator"] != "none" or config["thresholds"] is not None):
        raise UserError(f"{places[0]} is an overlap and makes calls already; leave out calibrator= and thresholds=")
    bundle = with_calibrator(bundle, places, config["calibrator"])
    bundle = with_thresholds(bundle, places, config)
    if config["format"] == "bundle":
        bundle = with_gate(replace(bundle, training_images=members_images(places, models)), places, config)
    left_out = [name for name in ("calibrator", "thresholds", "gate") if getattr(bundle, name)]
    with replacing(output) as temporary:
        if config["format"] == "bundle":
            save_bundle(bundle, temporary)
        elif config["format"] == "safetensors":
            write_timm(bundle, temporary)
        else:
            log.info("onnx: largest difference from torch %.1e", write_onnx(bundle, temporary))
    if config["format"] != "bundle" and left_out:
        log.warning("%s does not apply the model's %s; format=bundle does", output, ", ".join(left_out))
    log.info("%s of %s: %s", config["format"], " + ".join(member.name for member in bundle.members), output)


def check_settings(config: dict[str, Any]) -> tuple[list[str], Path]:
    """Refuse settings that make no sense; return the models' places and the file to write.

    Raises:
        UserError: a setting is missing or unknown, or the output can't be written there.
    """
    places = [config["ckpt"]] if isinstance(config["ckpt"], str) else config["ckpt"]
    if not isinstance(places, list) or not places or not all(isinstance(each, str) and each for each in places):
        raise UserError("ckpt= is missing or no name: set ckpt=RUN_OR_FILE, or ckpt=[A,B] for an ensemble")
    for name, options in (("format", list(FORMATS)), ("gate", list(GATES))):
        if config[name] not in options:
            raise UserError(f"{name}={config[name]}: choose {', '.join(options)}{nearest(str(config[name]), options)}")
    if config["weights"] is not None and not isinstance(config["weights"], list):
        raise UserError(f"weights={config['weights']}: a list is expected, such as weights=[A,B]")
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in config["weights"] or []):
        raise UserError(f"weights={config['weights']}: numbers are expected, such as weights=[0.7,0.3]")
    wanted = config["thresholds"]
    if wanted is not None and not (isinstance(wanted, str) and _is_file(wanted)):
        wanted = config["thresholds"] = read_names(wanted, "thresholds")
    try:
        for rule in wanted if isinstance(wanted, list) else []:
            parse_rule(rule)
    except ValueError as error:
        raise UserError(f"thresholds={wanted}: {error}") from None
    if config["positive"] and not isinstance(config["thresholds"], list):
        raise UserError("positive= goes with rules, as in thresholds=[f1]; a thresholds.json names its own")
    if not 0 < config["gate_alarms"] < 1:
        raise UserError(f"gate_alarms={config['gate_alarms']}: a share between 0 and 1 is expected, such as 0.01")
    if config["gate_images"] < 1:
        raise UserError(f"gate_images={config['gate_images']}: must be at least 1")
    if config["num_workers"] != "auto" and (not isinstance(config["num_workers"], int) or config["num_workers"] < 0):
        raise UserError(f"num_workers={config['num_workers']}: give auto or a number, 0 or more")
    config["num_workers"] = loading_processes(config["num_workers"])
    return places, _output(config["output"], config["format"], overwrite=config["overwrite"])


def _is_file(place: str) -> bool:
    return "/" in place or place.endswith(".json") or Path(place).expanduser().is_file()


def _output(place: Any, format_: str, *, overwrite: bool) -> Path:
    if not isinstance(place, str) or not place:
        raise UserError(f"output= is missing or no name: set output=FILE{FORMATS[format_]}")
    output = Path(place).expanduser().absolute()
    if output.suffix != FORMATS[format_] or output.is_dir():
        known = {suffix: name for name, suffix in FORMATS.items()}
        hint = f", or set format={known[output.suffix]}" if output.suffix in known else ""
        raise UserError(f"output={place}: format={format_} is written to a file FILE{FORMATS[format_]}{hint}")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise UserError(f"output={place}: there is no folder {output.parent} that can be written; choose another")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists; choose another output= or set overwrite=true")
    return output


def with_calibrator(bundle: Bundle, places: Sequence[str], wanted: str) -> Bundle:
    """Return the bundle with the calibrator that is asked for: by a method's name, or in a JSON file.

    Raises:
        UserError: neither a method nor such a file, or the runs have no validation predictions to fit it on.
    """
    if wanted == "none":
        return bundle
    if wanted not in CALIBRATIONS:
        content = read_json(
            wanted,
            "calibrator",
            {},
            setting="calibrator",
            remedy=f"choose {', '.join(CALIBRATIONS)} or give a JSON file",
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
        read = agree([read_predictions(table) for table in tables], [str(table) for table in tables])
    except ValueError as error:
        raise UserError(f"{setting}: {error}") from None
    if read[0].classes != bundle.classes:
        raise UserError(f"{setting}: {tables[0]} is of other classes than its model; give a run as it was written")
    probabilities = combine_as(bundle, np.stack([each.probabilities for each in read]))
    if bundle.calibrator is not None:
        probabilities = check_calibrator(bundle.calibrator, bundle)(probabilities)
    return read[0].with_probabilities(probabilities)


def _table_of(place: str) -> Path:
    return Path(place).expanduser() / "predictions" / "val.csv"


def _tables_of(places: Sequence[str]) -> str:
    return ", ".join(str(_table_of(place)) for place in places)


def combine_as(bundle: Bundle, members: np.ndarray) -> np.ndarray:
    """Combine members' probabilities ``(M, N, C)`` as the bundle says: those of each team, then the teams'.

    Returns:
        ``(N, C)``, a column a name of ``bundle.outputs``; one member's stay as they are, to the bit.
    """
    teams = np.stack([members[team].mean(0) for team in bundle.lineup])
    if bundle.positive:
        share = positive_score(teams, bundle.classes, bundle.positive)
        teams = np.stack([1 - share, share], axis=-1)
    return combine(teams, bundle.method, **bundle.learned)


def check_calibrator(content: dict[str, Any], bundle: Bundle) -> Calibrator:
    """Rebuild a calibrator and try it on the bundle's number of classes.

    Raises:
        UserError: it is none, or one of other classes.
    """
    try:
        calibrator = calibrator_from_dict(content)
        tried = calibrator(np.full((1, len(bundle.classes)), 1 / len(bundle.classes)))
        if tried.shape != (1, len(bundle.classes)) or not np.isfinite(tried).all():
            raise ValueError("it gives no probabilities")
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(f"the calibrator is none for these {len(bundle.classes)} classes: {error}") from None
    return calibrator


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
    choice = Choice(wanted, config["cost_ratio"], seed=config["seed"], positive=positive)
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
