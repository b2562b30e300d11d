"""A bundle from runs: members, calibrator, thresholds and input gate put together, written, or exported."""

from __future__ import annotations

import json
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
from skinlab.evaluation.predictions import read_predictions
from skinlab.evaluation.thresholds import thaw
from skinlab.models.bundle import Bundle, load_bundle, save_bundle
from skinlab.models.ensembling import ensemble
from skinlab.models.export import write_onnx, write_timm
from skinlab.runtime.gating import find_split, fit_run_gate
from skinlab.runtime.run_directory import replacing

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
    bundle = ensemble(
        [load_bundle(place) for place in places], places, method=config["combine"], weights=config["weights"]
    )
    bundle = with_calibrator(bundle, places, config["calibrator"])
    bundle = with_thresholds(bundle, config["thresholds"], config["positive"])
    if config["format"] == "bundle":
        bundle = with_gate(bundle, places, config)
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
        raise UserError("ckpt= is missing or no name: say ckpt=RUN_OR_FILE, or ckpt=[A,B] for an ensemble")
    for name, options in (("format", list(FORMATS)), ("gate", list(GATES))):
        if config[name] not in options:
            raise UserError(f"{name}={config[name]}: choose {', '.join(options)}{nearest(str(config[name]), options)}")
    for name in ("weights", "positive"):
        if config[name] is not None and not isinstance(config[name], list):
            raise UserError(f"{name}={config[name]}: a list is expected, such as {name}=[A,B]")
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in config["weights"] or []):
        raise UserError(f"weights={config['weights']}: numbers are expected, such as weights=[0.7,0.3]")
    if not 0 < config["gate_alarms"] < 1:
        raise UserError(f"gate_alarms={config['gate_alarms']}: a share between 0 and 1 is expected, such as 0.01")
    if config["gate_images"] < 1:
        raise UserError(f"gate_images={config['gate_images']}: must be at least 1")
    if config["num_workers"] != "auto" and (not isinstance(config["num_workers"], int) or config["num_workers"] < 0):
        raise UserError(f"num_workers={config['num_workers']}: give auto or a number, 0 or more")
    config["num_workers"] = loading_processes(config["num_workers"])
    return places, _output(config["output"], config["format"], overwrite=config["overwrite"])


def _output(place: Any, format_: str, *, overwrite: bool) -> Path:
    if not isinstance(place, str) or not place:
        raise UserError(f"output= is missing or no name: say output=FILE{FORMATS[format_]}")
    output = Path(place).expanduser().absolute()
    if output.suffix != FORMATS[format_] or output.is_dir():
        known = {suffix: name for name, suffix in FORMATS.items()}
        hint = f", or say format={known[output.suffix]}" if output.suffix in known else ""
        raise UserError(f"output={place}: format={format_} is written to a file FILE{FORMATS[format_]}{hint}")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise UserError(f"output={place}: there is no folder {output.parent} that can be written; choose another")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists; choose another output= or say overwrite=true")
    return output


def with_calibrator(bundle: Bundle, places: Sequence[str], wanted: str) -> Bundle:
    """Return the bundle with the calibrator that is asked for: by a method's name, or in a JSON file.

    Raises:
        UserError: neither a method nor such a file, or the runs have no validation predictions to fit it on.
    """
    if wanted == "none":
        return bundle
    if wanted not in CALIBRATIONS:
        content = _read_json(wanted, f"calibrator={wanted}", f"choose {', '.join(CALIBRATIONS)} or give a JSON file")
        if not isinstance(content, dict):
            raise UserError(f"calibrator={wanted}: the file holds a {type(content).__name__}, no calibrator")
        return replace(bundle, calibrator=content if check_calibrator(content, bundle) else None)
    if bundle.calibrator is not None:
        raise UserError(f"calibrator={wanted}: {places[0]} has a calibrator already; give the runs it was made of")
    tables = []
    for place in places:
        table = Path(place).expanduser() / "predictions" / "val.csv"
        if not table.is_file():
            raise UserError(
                f"calibrator={wanted}: there is no {table} to fit it on; give runs, or a JSON file with one"
            )
        tables.append(table)
    try:
        read = agree([read_predictions(table) for table in tables], [str(table) for table in tables])
        if read[0].classes != bundle.classes:
            raise ValueError(f"{tables[0]} is of other classes than its model; give a run as it was written")
        stacked = np.stack([each.probabilities for each in read])
        fitted = fit_calibrator(wanted, combine_as(bundle, stacked), read[0].target)
    except ValueError as error:
        raise UserError(f"calibrator={wanted}: {error}") from None
    log.info("calibrator: %s, fitted on %d validation rows", wanted, len(read[0].target))
    return replace(bundle, calibrator=fitted.to_dict())


def combine_as(bundle: Bundle, members: np.ndarray) -> np.ndarray:
    """Combine members' probabilities ``(M, N, C)`` as the bundle says; one member's stay as they are, to the bit."""
    if len(members) == 1:
        return np.asarray(members[0])
    weights = None if bundle.weights is None else np.array(bundle.weights)
    return combine(members, bundle.method, weights)


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


def with_thresholds(bundle: Bundle, place: str | None, positive: Sequence[str] | None) -> Bundle:
    """Return the bundle with the frozen thresholds of an evaluation, each with the positive classes it is for.

    Raises:
        UserError: the file holds none, those of several systems, or nothing says which classes are positive.
    """
    if place is None:
        return bundle
    setting = f"thresholds={place}"
    content = _read_json(place, setting, "give thresholds.json of an evaluation")
    if isinstance(content, dict):
        if len(content) != 1:
            raise UserError(f"{setting} holds thresholds of {len(content)} systems; keep those of one")
        (content,) = content.values()
    try:
        rows = [{"positive": None if positive is None else list(positive)} | dict(row) for row in content]
        for row in rows:
            if not thaw(row).threshold >= 0:
                raise ValueError(f"{row['threshold']} is no threshold")
    except (TypeError, ValueError) as error:
        raise UserError(f"{setting} is no thresholds.json of an evaluation ({error})") from None
    for row in rows:
        named = row["positive"]
        if not named or not set(named) < set(bundle.classes):
            raise UserError(
                f"{setting}: positive={named}: name the positive ones of the classes {', '.join(bundle.classes)}"
            )
    if bundle.calibrator is not None:
        log.warning("%s must be of probabilities that this bundle's calibrator has calibrated", setting)
    return replace(bundle, thresholds=rows)


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


def _read_json(place: str, setting: str, remedy: str) -> Any:
    try:
        return json.loads(Path(place).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no JSON"
        raise UserError(f"{setting}: can't be read ({reason}); {remedy}") from None
