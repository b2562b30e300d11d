"""Turn a composed config into settings, and Hydra's errors into one line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from skinlab.cli.conf import config_directory
from skinlab.cli.conf_comments import read_file
from skinlab.cli.early_checks import no_folder
from skinlab.cli.help import choices_of, read_groups
from skinlab.cli.hints import choice_meant, place_of
from skinlab.cli.missing import describe_missing
from skinlab.cli.plugins import enable_plugins
from skinlab.cli.registry import settings_model
from skinlab.cli.unreadable import unreadable
from skinlab.errors import UserError, nearest
from skinlab.processes.jobs import PAGES_LATER, PRINTED
from skinlab.settings.base import create, walk
from skinlab.settings.choices import probe_epochs
from skinlab.settings.command import Invocation
from skinlab.settings.secrets import masked

OTHER_COMMAND = re.compile(r"In '([\w/]+)': Could not override '(\w+)'")  # a preset of another command
# A value in a list or mapping with other signs than letters, digits and blanks.
# Settings of skinlab.pretrain that had another name before it had views= of its own.
RENAMED = {"augment": "views", "augment.lesion_pairs": "views.lesion_pairs"}
RENAMED |= {f"augment.views.{name}": f"views.{name}" for name in ("n_small", "small_size", "small_scale")}
RENAMED |= {f"augment.transform.{name}": f"views.transform.{name}" for name in ("scale", "_target_")}


def register_resolvers() -> None:
    """Register the resolvers that the configs use; doing it twice is harmless."""
    OmegaConf.register_new_resolver("data_home", _data_home, replace=True)
    OmegaConf.register_new_resolver("cache_home", _cache_home, replace=True)
    OmegaConf.register_new_resolver("work_dir", lambda: str(Path.cwd()), replace=True)
    OmegaConf.register_new_resolver("probe_epochs", probe_epochs, replace=True)
    OmegaConf.register_new_resolver("epochs", _epochs, replace=True)
    OmegaConf.register_new_resolver("folds", _folds, replace=True)
    OmegaConf.register_new_resolver("unless_default", _unless_default, replace=True)


def _epochs(data: str, phantom: int, other: int) -> int:
    """Return the default number of epochs on the phantom, or on any other data."""
    return phantom if data == "phantom" else other


def _folds(n_folds: Any) -> str:
    """Return the numbers of all folds, for a sweep over them; the settings' types refuse what is no number."""
    return ",".join(map(str, range(n_folds))) if isinstance(n_folds, int) and n_folds > 0 else "0"


def _unless_default(*choices: str) -> str:
    """Return the part of a run directory's name that has the choices of sampler and finetune, each where it is set.

    >>> _unless_default("none", "full"), _unless_default("weighted", "lp_ft")
    ('', '_weighted_lp_ft')
    """
    return "".join(f"_{choice}" for choice in choices if choice not in ("none", "full"))


def _data_home(name: str) -> str:
    """Return where a data set is expected: below SKINLAB_DATA_ROOT, else below ``data`` in the current folder."""
    home = os.environ.get("SKINLAB_DATA_ROOT") or "data"
    return str((Path(home).expanduser() / name).absolute())


def _cache_home(name: str) -> str:
    """Return a cache directory: below SKINLAB_CACHE, else the user's cache folder."""
    home = os.environ.get("SKINLAB_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "skinlab"
    return str((Path(home).expanduser() / name).absolute())


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return a config as plain containers without secrets.

    Raises:
        UserError: settings that have no default are not set.
        OmegaConfBaseException: an interpolation can't be resolved.
    """
    unresolved: Any = OmegaConf.to_container(cfg, resolve=False)
    if lines := list(describe_missing(unresolved)):
        if OmegaConf.is_missing(cfg.get("data", {}), "table"):
            lines += no_folder(cfg.data.root)
        raise UserError("; ".join(lines))
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    hidden: dict[str, Any] = masked(config)
    return hidden


def settings_of(name: str, config: Mapping[str, Any]) -> Any:
    """Return the settings of a command.

    Args:
        name: of the command.
        config: resolved.

    Raises:
        UserError: one line that names every mistake.
    """
    return create(settings_model(name), config)


def compose_config(name: str, overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose the config of a command anew; with Hydra's own settings if they are needed."""
    state = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_directory()), version_base="1.3"):
            return compose(name, list(overrides), return_hydra_config=with_hydra)
    finally:
        GlobalHydra.instance().clear()
        if state is not None:
            GlobalHydra.instance().hydra = state


def invocation(name: str, arguments: Sequence[str]) -> Invocation:
    """Return how a command that Hydra is composed for was called.

    Args:
        name: of the command.
        arguments: its command line.
    """
    hydra = HydraConfig.get()
    choices = {str(key): str(value) for key, value in hydra.runtime.choices.items()}
    command = masked(shlex.join(["python", "-m", f"skinlab.{name}", *arguments]))
    printed, later = os.environ.get(PRINTED, ""), PAGES_LATER in os.environ
    return Invocation(list(hydra.overrides.task), choices, compose_settings, command, printed, later)


def compose_settings(name: str, overrides: Sequence[str], run_dir: Path | str = ".") -> Any:
    """Return the settings of a command as if it was called with some overrides.

    Args:
        name: of the command.
        overrides: without those of Hydra.
        run_dir: of a command that has one.

    Raises:
        UserError: one line that names every mistake.
    """
    register_resolvers()
    enable_plugins(overrides)
    refuse_bases(name, overrides)
    try:
        cfg = compose_config(name, overrides)
        if "run_dir" in cfg:
            cfg.run_dir = str(run_dir)
        config = resolved(cfg)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error, name, overrides)) from None
    return settings_of(name, config)


def refuse_bases(name: str, overrides: Sequence[str]) -> None:
    """Refuse ``default`` of a group where it is no choice, but what the choices have in common.

    Args:
        name: of the command.
        overrides: the command line.

    Raises:
        UserError: one line with the choices of each such group.
    """
    pairs = [text.lstrip("+").partition("=")[::2] for text in overrides]
    based = [group for group, value in pairs if "default" in value.strip("[]").split(",")]
    groups = read_groups(name).chosen if based else {}
    lines = [
        _no_such(each, "default", choices_of(each)) for each in based if "default" not in groups.get(each, ["default"])
    ]
    if lines:
        raise UserError("; ".join(lines))


def _no_such(group: str, choice: str, options: Sequence[str]) -> str:
    timm_hint = "; any other timm model: model=timm model.name=NAME" if group == "model" else ""
    hint = "" if choice == "default" else choice_meant(group, choice) or nearest(choice, options)
    return f"{group}={choice}: no such choice{hint}; there are {', '.join(options)}{timm_hint}"


def _no_such_choices(name: str, overrides: Sequence[str], *, besides: str) -> list[str]:
    """Return a line for every choice that a group lacks, but for that of one group."""
    groups, pairs = read_groups(name).chosen, [text.lstrip("+").partition("=")[::2] for text in overrides]
    return [
        _no_such(group, choice, choices_of(group))
        for group, choice in pairs
        if group in groups and group != besides and choice.isidentifier() and choice not in [*choices_of(group), "null"]
    ]


def explain(error: Exception, name: str, overrides: Sequence[str]) -> str:
    """Turn an error of Hydra's into one line with the nearest right name.

    Args:
        error: what Hydra or OmegaConf raised.
        name: the command's config.
        overrides: the command line.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = sorted(set(error.options or []) - {"default"})
        if options:
            return "; ".join([_no_such(group, choice, options), *_no_such_choices(name, overrides, besides=group)])
    if found := OTHER_COMMAND.search(str(error)):
        preset, group = found.groups()
        return f"{preset.replace('/', '=')}: it sets {group}=, which skinlab.{name} does not have; leave it out"
    mistakes = _renamed(name, overrides) or unreadable(overrides) or _unknown_keys(name, overrides)
    if mistakes := mistakes or _several_values(name, overrides):
        return "; ".join(mistakes)
    lines = [line.strip() for line in f"{error} {error.__cause__ or ''}".splitlines() if line.strip()]
    return re.sub(r"\s+", " ", " ".join(lines[:2]))


def _renamed(name: str, overrides: Sequence[str]) -> list[str]:
    """Return a line for every override of a setting that has another name now."""
    lines = []
    for text in overrides if name == "pretrain" else ():
        key, sign, value = text.lstrip("+").partition("=")
        if key in RENAMED:
            lines.append(f"{text}: the views of a pretraining are set by views= now; write {RENAMED[key]}{sign}{value}")
    return lines


def _several_values(name: str, overrides: Sequence[str]) -> list[str]:
    """Return a line for every override with several values where the command line has no ``-m``."""
    if {"-m", "--multirun"} & set(overrides):
        return []
    parsed = OverridesParser.create().parse_overrides([each for each in overrides if not each.startswith("-")])
    lists = _taking_lists(name)

    def remedy(key: str) -> str:
        return f"add -m to run them in turn{f', or write {key}=[...] for a list' if key in lists else ', or give one'}"

    return [
        f"{each.input_line}: several values; {remedy(each.key_or_group)}" for each in parsed if each.is_sweep_override()
    ]


def _taking_lists(name: str) -> set[str]:
    """Return the settings of a command that are lists, and the groups of which several choices may be named."""
    entries = [
        entry for entry in read_file(config_directory() / f"{name}.yaml")["defaults"] if isinstance(entry, Mapping)
    ]
    groups = {str(key) for entry in entries for key, value in entry.items() if isinstance(value, list)}
    return groups | {key for key, field, _ in walk(settings_model(name)) if "list[" in str(field.annotation)}


def _unknown_keys(name: str, overrides: Sequence[str]) -> list[str]:
    """Return a line for every overridden key that the config doesn't have, and the mistakes of the other overrides."""
    try:
        parsed = OverridesParser.create().parse_overrides(
            [each for each in overrides if "=" in each and not each.startswith("-")]
        )
        groups = read_groups(name).chosen
        choices = [o.input_line or "" for o in parsed if o.key_or_group in groups and not o.is_sweep_override()]
        base = compose_config(name, choices)
    except (HydraException, OmegaConfBaseException):
        return []
    known = sorted(_keys(OmegaConf.to_container(base, resolve=False))) + list(groups)
    lines, others = [], []
    for override in parsed:
        key = override.key_or_group
        if override.is_add() or key in known or key.startswith("hydra"):
            others.append(override)
            continue
        hint = place_of(key, name, known)
        lines.append(f"{key}: the config has no such key{hint}; --help shows them all")
    if lines:
        kept = [
            o.input_line or "" for o in others if not o.is_sweep_override() and not o.key_or_group.startswith("hydra")
        ]
        try:
            compose_settings(name, kept)
        except UserError as error:
            lines.append(str(error))
    return lines


def _keys(value: Any, place: str = "") -> Iterator[str]:
    """Yield the dotted name of everything below a node."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield f"{place}{key}"
            yield from _keys(child, f"{place}{key}.")
