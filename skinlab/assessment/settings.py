"""The settings that every evaluation shares, checked before anything is read."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinlab.assessment.evidence_files import PAGES
from skinlab.assessment.mistakes import check_saliency
from skinlab.errors import UserError, nearest
from skinlab.evaluation.evidence import EvaluationSettings
from skinlab.evaluation.frozen_thresholds import FrozenThreshold
from skinlab.evaluation.thresholds import parse_rule
from skinlab.json_files import read_json
from skinlab.settings.secrets import masked

SPLITS = ("auto", "val", "test")


def check_settings(config: dict[str, Any], places: str) -> tuple[Path, EvaluationSettings]:
    """Refuse settings that make no sense, before anything is read; return the folder to write and what is asked.

    Args:
        config: of the command.
        places: the setting that names runs and tables.
    """
    if isinstance(config[places], str):
        config[places] = [config[places]]
    if not config[places]:
        raise UserError(f"{places}= is missing: set {places}=RUN_OR_FILE, or several: {places}=A,B")
    if not isinstance(config["output"], str) or not config["output"]:
        raise UserError("output= is missing: set output=DIR")
    if config["split"] not in SPLITS:
        raise UserError(f"split={config['split']}: choose auto, val or test{nearest(str(config['split']), SPLITS)}")
    frozen = _thaw(config["apply_thresholds"])
    if frozen and not config["positive"]:
        config["positive"] = list(frozen[0].positive)
    asked = check_asked(config, cross_fit=config["cross_fit"], frozen=frozen)
    output = Path(config["output"]).expanduser().absolute()
    if output.exists() and not output.is_dir():
        raise UserError(f"output={config['output']} is a file; name a folder")
    if (output / "evidence.json").exists() and not config["overwrite"] and not _may_be_replaced(output):
        raise UserError(f"{output}/evidence.json exists; choose another output= or set overwrite=true")
    return output, asked


def check_asked(settings: Mapping[str, Any], place: str = "", **more: Any) -> EvaluationSettings:
    """Return what is asked for by the settings of ``conf/evidence/default.yaml``.

    Args:
        settings: to be checked.
        place: where they stand in the config, such as ``evidence.``.
        **more: what else is asked.

    Raises:
        UserError: one of them makes no sense.
    """
    for name, low, high in (("level", 0.5, 1), ("prevalence", 0, 1)):
        if settings[name] is not None and not low < settings[name] < high:
            raise UserError(f"{place}{name}={settings[name]}: a share between {low} and {high} is expected")
    if settings["n_draws"] < 100:
        raise UserError(f"{place}n_draws={settings['n_draws']}: an interval takes 100 draws or more; 2000 are usual")
    if settings["cost_ratio"] <= 0:
        raise UserError(
            f"{place}cost_ratio={settings['cost_ratio']}: give what a missed positive costs in false alarms"
        )
    try:
        for rule in settings["thresholds"]:
            parse_rule(rule)
    except ValueError as error:
        raise UserError(str(error)) from None
    check_saliency(settings["saliency"])
    names = ("positive", "prevalence", "cost_ratio", "calibration", "n_draws", "level", "seed")
    return EvaluationSettings(rules=settings["thresholds"], **{name: settings[name] for name in names}, **more)


def _may_be_replaced(output: Path) -> bool:
    """Tell whether a folder's evidence is its training's, or was left without its pages by this very command."""
    path, remedy = output / "evidence.json", "choose another output= or set overwrite=true"
    content = read_json(path, "evidence of an evaluation", {"made.command": str}, remedy=remedy)
    command = str(content["made"]["command"])
    unfinished = not all((output / name).is_file() for name in PAGES)
    same = command.endswith(f" {masked(shlex.join(sys.argv[1:]))}")
    return command.startswith("python -m skinlab.train") or (unfinished and same)


def _thaw(place: str | None) -> list[FrozenThreshold]:
    """Read the thresholds of an earlier evaluation's ``thresholds.json``, of one system."""
    if place is None:
        return []
    try:
        content = read_json(
            place, "thresholds of an evaluation", {}, setting="apply_thresholds", remedy="give a thresholds.json"
        )
        systems = [[FrozenThreshold.from_dict(row) for row in rows] for rows in content.values()]
    except (TypeError, ValueError) as error:
        raise UserError(
            f"apply_thresholds={place} is no thresholds.json of an evaluation ({str(error).splitlines()[0]})"
        ) from None
    if len(systems) != 1:
        raise UserError(f"apply_thresholds={place} holds thresholds of {len(systems)} systems; keep those of one")
    return systems[0]
