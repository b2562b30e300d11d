"""Probabilities for images of any folder or table, from a checkpoint alone."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skinlab.data.datamodule import loading_processes
from skinlab.errors import UserError, nearest
from skinlab.evaluation.predictions import COLUMNS, DECIMALS, PREFIX
from skinlab.evaluation.submission import FORMATS, check_format, isic_submission, kaggle_submission
from skinlab.evaluation.thresholds import positive_score
from skinlab.files import claim_file, replacing, write_json
from skinlab.inference.bundle import Bundle, best_device, load_bundle
from skinlab.inference.combining import check_calibrator, combine_as
from skinlab.inference.inputs import find_images
from skinlab.inference.predict_images import look
from skinlab.models.prediction import tta_views
from skinlab.report.wording import seen_words
from skinlab.runs.provenance import seen_counts, training_images

log = logging.getLogger(__name__)

GATES = ("warn", "error", "off")


def predict(config: dict[str, Any]) -> None:
    """Predict the images of ``input`` with the classifier of ``ckpt`` and write them to ``output``.

    Args:
        config: the resolved config of ``conf/predict.yaml``.

    Raises:
        UserError: whatever a person must mend; nothing has been written then.
    """
    output = check_settings(config)
    with claim_file(output):
        _predict(config, output)


def _predict(config: dict[str, Any], output: Path) -> None:
    device = best_device(config["device"])
    tables = {name: config[name] for name in ("columns", "label_map")}
    rows = find_images(config["input"], missing_ok=config["on_bad_image"] == "drop", **tables)
    bundle = load_bundle(config["ckpt"])
    known = training_images(config["ckpt"], bundle.training_images)
    calibrator = None if bundle.calibrator is None else check_calibrator(bundle.calibrator, bundle)
    if config["gate"] == "error" and bundle.gate is None:
        raise UserError(f"gate=error: {config['ckpt']} has no input gate; make one: python -m skinlab.bundle gate=fit")
    try:
        check_format(config["format"], bundle.outputs, rows["path"].tolist())
    except ValueError as error:
        raise UserError(str(error)) from None
    threshold = find_threshold(config, bundle)
    if threshold is not None:
        column = "label" if config["format"] == "kaggle" else "called"
        log.info("%s=1: %s, from %.4g on", column, " or ".join(threshold["positive"]), threshold["value"])
    started = time.perf_counter()
    hashes = np.zeros(len(rows), np.uint64)
    members, excess, bad = look(bundle, rows, config, device, known, hashes)
    how = known.usage(np.delete(hashes, list(bad)), rows["group"].drop(index=list(bad)) if "group" in rows else None)
    rows = rows.drop(index=list(bad)).reset_index(drop=True)
    probabilities = combine_as(bundle, members)
    if calibrator is not None:
        probabilities = calibrator(probabilities)
    seconds = time.perf_counter() - started
    seen = seen_counts(how, known.unknown)
    write_predictions(config, output, bundle, rows, probabilities, excess=excess, threshold=threshold, seen=(how, seen))
    if sentence := seen_words(seen):
        log.warning("%s", sentence)
    log.info("%d images in %.1f s on %s: %s", len(rows), seconds, device.type, output)


def find_threshold(config: dict[str, Any], bundle: Bundle) -> dict[str, Any] | None:
    """Return the facts of the threshold that is asked for, None for none: ``value`` and the classes ``positive``.

    Raises:
        UserError: the bundle has no such rule, or a number or a format doesn't say or mean the positive classes.
    """
    asked, names, positive = config["threshold"], bundle.outputs, bundle.positive_output
    if asked is None and config["format"] != "kaggle":
        return None
    if not isinstance(asked, str):
        if len(names) != 2:
            raise UserError(f"threshold={asked}: a number calls one of two classes, the model has {', '.join(names)}")
        return {"value": 0.5 if asked is None else asked, "positive": [positive]}
    known = {row["rule"]: row for row in bundle.thresholds}
    if asked not in known:
        there = f"choose {', '.join(known)}{nearest(asked, known)}" if known else "choose some by skinlab.bundle"
        raise UserError(f"threshold={asked} is no rule of {config['ckpt']}, which has {len(known)}: {there}")
    row = known[asked]
    if config["format"] == "kaggle" and row["positive"] != [positive]:
        raise UserError(f"threshold={asked} is of {', '.join(row['positive'])}; format=kaggle calls {positive}")
    kept = {key: row.get(key) for key in ("rule", "low", "high", "positive", "chosen_on")}
    return kept | {"value": row["threshold"]}


def check_settings(config: dict[str, Any]) -> Path:
    """Refuse settings that make no sense, and return where the predictions go.

    Raises:
        UserError: a setting is missing or out of range, or the output can't be written there.
    """
    for name, words in (("ckpt", "RUN_OR_FILE"), ("input", "FOLDER_OR_CSV_OR_IMAGE"), ("output", "FILE.csv")):
        if not isinstance(config[name], str) or not config[name]:
            raise UserError(f"{name}= is missing or no name: set {name}={words}")
    if config["gate"] is False:  # what YAML makes of off
        config["gate"] = "off"
    for name, options in (("format", FORMATS), ("on_bad_image", ("error", "drop")), ("gate", GATES)):
        if config[name] not in options:
            hint = nearest(str(config[name]), options)
            raise UserError(f"{name}={config[name]}: choose {', '.join(options)}{hint}")
    tta_views(config["tta"])
    if config["batch_size"] < 1:
        raise UserError(f"batch_size={config['batch_size']}: must be at least 1")
    if config["num_workers"] != "auto" and (not isinstance(config["num_workers"], int) or config["num_workers"] < 0):
        raise UserError(f"num_workers={config['num_workers']}: give auto or a number of processes, 0 or more")
    config["num_workers"] = loading_processes(config["num_workers"])
    threshold = config["threshold"]
    number = isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and 0 <= threshold <= 1
    if not (number or threshold is None or isinstance(threshold, str)):
        raise UserError(f"threshold={threshold}: a probability from 0 to 1, or a rule of the bundle's, is expected")
    if threshold is not None and config["format"] == "isic":
        raise UserError(f"threshold={threshold}: format=isic holds probabilities alone; leave threshold= out")
    return check_output(config["output"], overwrite=config["overwrite"])


def check_output(place: str, *, overwrite: bool) -> Path:
    """Return the file to write.

    Raises:
        UserError: it is no CSV, its folder is missing or locked, or it or its ``.meta.json`` is there already.
    """
    output = Path(place).expanduser().absolute()
    if output.suffix.lower() != ".csv" or output.is_dir():
        raise UserError(f"output={place}: the name of a CSV file is expected, such as output=predictions.csv")
    if not output.parent.is_dir():
        raise UserError(f"output={place}: there is no folder {output.parent}; make it or choose another")
    if not os.access(output.parent, os.W_OK):
        raise UserError(f"output={place}: {output.parent} can't be written; choose another folder")
    for path in (output, meta_path(output)):
        if path.exists() and not overwrite and not _is_half(path):
            raise UserError(f"{path} exists; choose another output= or set overwrite=true")
    return output


def _is_half(path: Path) -> bool:
    """Tell whether a file is the ``.meta.json`` of a prediction that was ended before it had its table."""
    try:
        return path.suffix == ".json" and "checkpoint_sha256" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def meta_path(output: Path) -> Path:
    """Return where the facts about a predictions file lie: beside it."""
    return output.with_suffix(".meta.json")


def write_predictions(
    config: dict[str, Any],
    output: Path,
    bundle: Bundle,
    rows: pd.DataFrame,
    probabilities: np.ndarray,
    *,
    excess: np.ndarray | None = None,
    threshold: dict[str, Any] | None = None,
    seen: tuple[np.ndarray, dict[str, Any]],
) -> None:
    """Write predictions and their ``.meta.json``, both or none."""
    columns = [name for name in COLUMNS if name in rows]
    probabilities = np.round(probabilities, 6)
    table = rows[columns].join(pd.DataFrame(probabilities, columns=[PREFIX + name for name in bundle.outputs]))
    facts = {"tta": config["tta"], "format": config["format"], "images": len(rows)}
    if excess is not None and bundle.gate is not None:
        table["gate"] = np.round(excess, 6)
        facts["gate"] = bundle.gate.facts() | {"warned": int((excess > 1).sum())}
    if threshold is not None:
        score = positive_score(probabilities, bundle.outputs, threshold["positive"])
        table["called"] = (score >= threshold["value"]).astype(np.int64)
        facts["threshold"] = threshold
    how, facts["seen"] = seen
    if how.any():
        table["seen"] = how
    table["path"] = files = rows["path"].tolist()
    if config["format"] == "kaggle":
        table = kaggle_submission(files, table["called"].to_numpy())
    elif config["format"] == "isic":
        table = isic_submission(table, files)
    with replacing(output) as temporary:
        table.to_csv(temporary, index=False, float_format=DECIMALS)
        write_json(meta_path(output), bundle.meta(**facts))
