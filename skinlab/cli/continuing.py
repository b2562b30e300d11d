"""Continue a run with its recorded config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from skinlab.cli.conf import choice_file, config_directory
from skinlab.cli.help import choices_of
from skinlab.cli.plugins import refuse_missing
from skinlab.cli.registry import settings_model
from skinlab.errors import UserError
from skinlab.settings.base import create
from skinlab.settings.recorded import REMEDY, holds_run, leaves, read_recorded

WHOLE = ("logger", "evidence")  # groups whose choice replaces the former one, since none of it decides the weights


def continued(cfg: DictConfig, overrides: Sequence[str], command: str) -> DictConfig:
    """Return the config of a command: the recorded one where its directory holds a run, else the composed one.

    Only what the overrides name differs from the recorded config; whether it may is not decided here.

    Args:
        cfg: as composed by Hydra.
        overrides: of the command line, without Hydra's own.
        command: its name.

    Raises:
        UserError: the recorded config can't be read, it is another command's, or the overrides name another loss,
            SSL method or semi-supervised strategy.
    """
    if cfg.get("resume") != "auto" or not holds_run(run_dir := Path(cfg.run_dir)):
        return cfg
    recorded = read_recorded(run_dir)
    if ("ssl" in recorded) != ("ssl" in cfg):
        theirs = "pretrain" if "ssl" in recorded else "train"
        raise UserError(f"{run_dir} holds a run of skinlab.{theirs}; choose another hydra.run.dir")
    refuse_missing(recorded["plugins"], cfg.plugins, str(run_dir))
    try:
        create(settings_model(command), recorded)
    except UserError as error:
        raise UserError(f"{run_dir}/config.yaml is damaged ({error}); {REMEDY}") from None
    _refuse_other_parts(recorded, overrides, run_dir)
    composed: Any = OmegaConf.to_container(cfg, resolve=False)
    named, epochs = list(_named(overrides)), recorded["trainer"]["max_epochs"]
    for key in named:
        if key != "trainer.max_epochs":  # what the config derives from the number of epochs stays as it was
            _copy(composed, recorded, key)
    kept = {key: recorded[key] for key in recorded if key != "run_id"} | {"run_dir": str(run_dir)}
    own: Any = OmegaConf.to_container(OmegaConf.create(kept), resolve=True)
    if "test" in own:  # only the command line that opens the test counts
        own["test"] = cfg.test
    if "trainer.max_epochs" in named:
        own["trainer"]["max_epochs"] = cfg.trainer.max_epochs
        explicit = any(each.startswith("model.freeze_epochs=") for each in overrides)
        if own["model"]["freeze_epochs"] >= epochs and not explicit:  # finetune=linear_probe
            own["model"]["freeze_epochs"] = cfg.trainer.max_epochs
    return DictConfig(own)


def _refuse_other_parts(recorded: Mapping[str, Any], overrides: Sequence[str], run_dir: Path) -> None:
    """Refuse another choice of a part, such as ``loss=focal``, whose settings are not those of the recorded one."""
    for each in OverridesParser.create().parse_overrides(list(overrides)):
        group, choice, part = each.key_or_group, str(each.value()), recorded.get(each.key_or_group)
        then = part.get("_target_") if isinstance(part, Mapping) else None
        now = _targets(group).get(choice)
        if then and now and now != then:
            former = next((name for name, target in _targets(group).items() if target == then), then)
            raise UserError(
                f"{run_dir} holds a run with {group}={former}, now it is {choice}; choose another hydra.run.dir or the "
                "former settings"
            )


def _targets(group: str) -> dict[str, str]:
    """Return choice → what it builds, of a group whose choices say so."""
    files: dict[str, Any] = {name: OmegaConf.load(choice_file(group, name)) for name in choices_of(group)}
    return {name: str(file["_target_"]) for name, file in files.items() if "_target_" in file}


def _named(overrides: Sequence[str]) -> Iterator[str]:
    """Yield the dotted names of the settings that overrides name, whether they change them or not."""
    for each in OverridesParser.create().parse_overrides(list(overrides)):
        key, choice = each.key_or_group, each.value()
        if key in WHOLE or not (config_directory() / key).is_dir() or isinstance(choice, dict):
            yield key
        elif choice is not None:
            yield from _settings_of(key, str(choice))
        if key == "data.root":
            yield "data.reader.root"  # follows it in every choice of data


def _settings_of(group: str, choice: str) -> Iterator[str]:
    """Yield what the file of a choice sets itself, without the defaults that it shares with the other choices."""
    path = choice_file(group, choice)
    content: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    for entry in content.pop("defaults", []):
        for name, inner in entry.items() if isinstance(entry, Mapping) else ():
            yield from _settings_of(name.rpartition("/")[2], str(inner))
    content.pop("hydra", None)
    place = "" if path.read_text(encoding="utf-8").startswith("# @package _global_") else group
    yield from (name for name, _ in leaves(content, place))


def _copy(source: dict[str, Any], target: dict[str, Any], key: str) -> None:
    """Copy a setting from one config to another; delete it there if the first has none."""
    *groups, name = key.split(".")
    for group in groups:
        source = source.get(group) or {}
        if not isinstance(target.get(group), dict) or (group in WHOLE and not target[group]):
            target[group] = source
            return
        target = target[group]
    if name in source:
        target[name] = source[name]
    else:
        target.pop(name, None)
