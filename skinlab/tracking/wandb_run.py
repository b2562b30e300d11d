"""Open a run on Weights & Biases without prompting, offline where the server can't be reached."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import wandb

import skinlab
from skinlab.errors import UserError
from skinlab.settings.groups import WandbSettings
from skinlab.settings.secrets import is_secret_name, masked
from skinlab.tracking.fault_tolerant_loggers import FaultTolerantWandbLogger, first_line

log = logging.getLogger(__name__)

OFFLINE = "W&B can't be reached (%s); logging offline"
INIT_SECONDS = 15.0  # for the server to answer; W&B's default is 90
FINISH_SECONDS = 60.0  # for the last uploads; W&B's default is for ever


def check_wandb(settings: WandbSettings) -> None:
    """Check the settings, and those of the environment, against W&B's rules.

    Raises:
        UserError: W&B refuses one.
    """
    for name, value in os.environ.items():
        if name.startswith("WANDB_") and name != "WANDB_MODE":  # the mode may be that of the config
            try:
                wandb.Settings().update_from_env_vars({name: value})
            except (wandb.errors.UsageError, ValueError) as error:
                if is_secret_name(name):  # whose value W&B repeats
                    raise UserError(f"{name}: W&B refuses its value; correct or unset it") from None
                reason = " ".join(str(error).split())
                raise UserError(f"{name}={value}: W&B refuses it ({reason}); correct or unset it") from error
    try:
        wandb.Settings(mode=_mode(settings), **_names(settings))
    except (wandb.errors.UsageError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"logger=wandb: {reason}; change that setting of logger.wandb, or WANDB_MODE") from error


def open_wandb(settings: WandbSettings, run_dir: Path, config: Mapping[str, Any]) -> FaultTolerantWandbLogger:
    """Start the W&B run of a run directory, or continue it.

    Args:
        settings: the names of the run on W&B.
        run_dir: takes W&B's own files, in ``wandb/``.
        config: logged whole; its ``run_id`` is W&B's too, so that a continued run stays one.
    """
    arguments = {
        "settings": wandb.Settings(**{"run_name": run_dir.name} | _names(settings)),
        "id": config["run_id"],
        "resume": "allow",
        "dir": str(run_dir),
        "config": {**masked(config), "code": code_version()},
    }
    mode = _mode(settings)
    _set_up()
    if mode == "online" and (reason := _out_of_reach()):
        log.warning(OFFLINE, reason)
        mode = "offline"
    run = _start(arguments, mode)
    if run.url:
        log.info("W&B: %s", run.url)
    return FaultTolerantWandbLogger(experiment=run, project=settings.project, save_dir=run_dir)


def _mode(settings: WandbSettings) -> Any:
    return "offline" if settings.offline else os.environ.get("WANDB_MODE", "online")


def _names(settings: WandbSettings) -> dict[str, Any]:
    """Return the names of a run as W&B's settings."""
    theirs = {"project": "project", "entity": "entity", "name": "run_name", "group": "run_group", "tags": "run_tags"}
    names = {theirs[ours]: value for ours, value in settings.dump().items() if ours in theirs and value is not None}
    of_sweep = [each for each in os.environ.get("WANDB_TAGS", "").split(",") if each]
    return names | {"run_tags": list(dict.fromkeys([*(settings.tags or []), *of_sweep]))}


def code_version() -> dict[str, Any]:
    """Return skinlab's version and, where it runs from a git checkout, the commit and whether files differ from it."""
    version: dict[str, Any] = {"skinlab": metadata.version("skinlab")}
    package = Path(skinlab.__file__).parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py"):  # not any repository around an installed package
        version["commit"] = _git(package, "rev-parse", "HEAD")
        version["dirty"] = bool(_git(package, "status", "--porcelain", "--untracked-files=no"))
    return version


def _git(directory: Path, *arguments: str) -> str:
    """Return the output of git, empty where there is no git, no repository or no answer."""
    try:
        done = subprocess.run(["git", "-C", str(directory), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _set_up() -> None:
    """Configure W&B: silent, no console capture, short timeouts."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # logs every report to W&B that gets lost
    wandb.setup(
        wandb.Settings(
            silent=True,
            console="off",
            init_timeout=INIT_SECONDS,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
        )
    )


def _out_of_reach() -> str:
    """Return why the server can't be used, or nothing; never prompt for a key."""
    try:
        known = wandb.login(prompt=False, verify=True)
    except wandb.Error as error:
        return first_line(error)
    return "" if known else "no API key; set WANDB_API_KEY or run wandb login"


def _start(arguments: Mapping[str, Any], mode: Any) -> Any:
    """Start the run; offline where the server refuses it."""
    try:
        run = wandb.init(**arguments, mode=mode, reinit="finish_previous")  # else a run left open would be reused
    except wandb.errors.CommError as error:
        if mode == "offline":
            raise
        log.warning(OFFLINE, first_line(error))
        wandb.teardown()  # W&B's process still holds the id
        _set_up()
        return _start(arguments, "offline")
    run.define_metric("trainer/global_step")
    run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
    return run
