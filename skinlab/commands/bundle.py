"""A bundle from runs: members, calibrator, thresholds and input gate put together, written, or exported."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from skinlab.data.datamodule import loading_processes
from skinlab.errors import UserError, nearest
from skinlab.evaluation.thresholds import parse_rule
from skinlab.files import claim_file, replacing
from skinlab.inference.bundle import load_bundle, save_bundle
from skinlab.inference.bundle_parts import with_calibrator, with_gate, with_thresholds
from skinlab.inference.ensembling import ensemble
from skinlab.inference.export import write_onnx, write_timm
from skinlab.runs.provenance import members_images
from skinlab.settings.name_lists import read_names

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
        bundle = with_gate(
            replace(bundle, training_images=members_images(places, (model.training_images for model in models))),
            places,
            config,
        )
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
    try:
        if wanted is not None and not (isinstance(wanted, str) and _is_file(wanted)):
            wanted = config["thresholds"] = read_names(wanted)
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
