"""Prepare the command line for Hydra: move flags to the front, quote rules, refuse foreign configs and secrets."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from skinlab.cli.conf import config_directory
from skinlab.cli.hints import SYNONYMS
from skinlab.errors import UserError
from skinlab.settings.secrets import MASK, is_secret_name, masked

# Hydra's grammar knows no bare `>`: threshold=sensitivity>=0.9 and thresholds=[f1,specificity>=0.95] are quoted for it.
RULE = re.compile(r"""(?<!["'])\b((?:sensitivity|specificity|p)>=[\d.]+)""")
AS_PRINTED = re.compile(r"\b(sensitivity|specificity|p)\s*≥\s*(?=[\d.])")  # a rule as reports show it
HOME = re.compile(r"""(?<=[=,\["'])~(?=/)""")
BETWEEN = re.compile(r",(?![^\[{(]*[\]})])")  # a comma outside of brackets
# What may be set of Hydra itself. Its callbacks, logging, environment and search path run or load what they name.
# Lightning sets job.name and output_subdir where it starts a process for each device.
HYDRA_SETTINGS = re.compile(
    r"hydra/\w+|hydra\.(run\.dir|sweep\.(dir|subdir)|mode|verbose|job\.name|output_subdir|(launcher|sweeper)\..+)"
)
FOREIGN_FLAGS = ("config_path", "config_name", "config_dir", "experimental_rerun")


def prepare_command_line(
    arguments: Sequence[str], lists: Sequence[str] = (), aliases: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """Return the command line in the form that Hydra reads.

    Args:
        arguments: as typed, without the program's name.
        lists: settings that may be written as ``name=A,B``, which Hydra would take for a sweep.
        aliases: other names of settings, such as one that Hydra would take for a config group of another command.

    Raises:
        UserError: an unknown flag, or an override that brings in foreign configs or code, or a secret.
    """
    flags, overrides = _split(arguments)
    overrides = [AS_PRINTED.sub(r"\1>=", text) for text in overrides]
    overrides = [RULE.sub(r'"\1"', _as_list(_by_name(_at_home(text), aliases), lists)) for text in overrides]
    for text in overrides:
        try:
            (override,) = OverridesParser.create().parse_overrides([text])
        except HydraException:  # named by `explain`, with the other mistakes of the command line
            continue
        _refuse_foreign(override)
        _refuse_secret(override)
    hidden = [masked(text) for text in overrides]
    for text in (text for text, shown in zip(overrides, hidden, strict=True) if text != shown and "://" not in text):
        print(f"WARNING: {masked(text)}: it may be a secret, so {MASK} is used in its place", file=sys.stderr)
    return [*flags, *(text if "://" in text else shown for text, shown in zip(overrides, hidden, strict=True))]


def name_as_typed(message: str, arguments: Sequence[str], aliases: Mapping[str, str]) -> str:
    """Return a message with the names of settings that the command line has, where those are aliases.

    >>> name_as_typed("tta=flip: choose flips", ["views=flip"], {"views": "tta"})
    'views=flip: choose flips'
    """
    for alias, name in aliases.items():
        if any(each.startswith(f"{alias}=") for each in arguments):
            message = re.sub(rf"(?<![\w./]){name}(?==)", alias, message)
    return message


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return flags and overrides; argparse itself needs the overrides in one block."""
    parser = get_args_parser()
    parser.exit_on_error = False
    try:
        known, unknown = parser.parse_known_intermixed_args(list(arguments))
    except argparse.ArgumentError as error:
        raise UserError(f"{error}; --hydra-help lists the flags, settings are written as key=value") from None
    for name in FOREIGN_FLAGS:
        if getattr(known, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')}={getattr(known, name)}: a command takes settings from its own conf/ only; "
                "give them as key=value, or add a file to conf/experiment"
            )
    if unknown:
        raise UserError(_as_setting(unknown[0], arguments))
    flags = list(arguments)
    for text in known.overrides or ():
        flags.remove(text)
    return flags, list(known.overrides or ())


def _as_setting(flag: str, arguments: Sequence[str]) -> str:
    """Return the message of an unknown flag, with the setting that it may stand for.

    >>> _as_setting("--model", ["--model", "resnet18"])
    '--model: unknown flag; settings are written without dashes: model=resnet18'
    >>> _as_setting("--epochs=2", []).partition(": ")[2]
    'unknown flag; settings are written without dashes: trainer.max_epochs=2'
    """
    name, sign, value = flag.lstrip("-").partition("=")
    after = arguments[arguments.index(flag) + 1 :] if flag in arguments else []
    if not sign:
        value = after[0] if after and "=" not in after[0] and not after[0].startswith("-") else "VALUE"
    setting = f"{SYNONYMS.get(name.replace('-', '_'), name)}={value}"
    return f"{masked(flag)}: unknown flag; settings are written without dashes: {masked(setting)}"


@contextmanager
def composing_once(arguments: Sequence[str]) -> Iterator[None]:
    """Keep Hydra from composing the whole config a first time, only to look for ``hydra.mode``, which no file sets.

    Args:
        arguments: the command line.
    """
    if any("hydra.mode" in text for text in arguments):
        yield
        return
    get_mode = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = get_mode  # type: ignore[method-assign]


def _refuse_foreign(override: Override) -> None:
    """Refuse what makes Hydra load files from elsewhere, or run code, before the config can be checked."""
    key, text = override.key_or_group, str(override.input_line)
    if key.startswith("hydra") and (not HYDRA_SETTINGS.fullmatch(key) or "_target_" in text):
        raise UserError(
            f"{masked(text)}: of Hydra's settings only hydra.run.dir, hydra.sweep, hydra/launcher and hydra/sweeper "
            "with their settings, hydra.mode and hydra.verbose may be changed; leave this out"
        )
    if (override.package or "").startswith("hydra"):
        raise UserError(f"{masked(text)}: nothing may be added to Hydra's own settings; leave this out")
    if ("/" in key or (config_directory() / key).is_dir()) and ".." in str(override.value()):
        raise UserError(f"{masked(text)}: a command takes settings from its own conf/ only; name a file in it")


def _refuse_secret(override: Override) -> None:
    key, text = override.key_or_group, str(override.input_line)
    inside = re.findall(r"[\w.]+(?=\s*:)", text.partition("=")[2])
    if any(map(is_secret_name, [key, *inside])) and override.value() not in (None, ""):
        raise UserError(
            f"{key} would hold a secret, and settings are recorded; set the environment variable instead, such as "
            "WANDB_API_KEY, or run wandb login"
        )


def _at_home(text: str) -> str:
    """Expand ``~/`` in an override, which a shell leaves as it is behind ``=``."""
    return HOME.sub(str(Path.home()), text)


def _by_name(text: str, aliases: Mapping[str, str]) -> str:
    name, sign, value = text.partition("=")
    return f"{aliases.get(name, name)}{sign}{value}"


def _as_list(text: str, lists: Sequence[str]) -> str:
    """Put a list, with or without brackets, into Hydra's form, which needs quotes around items with ``=``.

    >>> print(_as_list("base=[data.fold=1,data.classes=[a,b]]", ["base"]), _as_list("arms=A,D", ["arms"]))
    base=['data.fold=1','data.classes=[a,b]'] arms=['A','D']
    """
    name, sign, value = text.partition("=")
    if not sign or name not in lists or value.startswith(("'", '"')) or value in ("", "null"):
        return text
    if value.startswith("["):
        if "=" not in value or "'" in value or '"' in value:
            return text
        value = value.removeprefix("[").removesuffix("]")
    return f"{name}=[{','.join(repr(part) for part in BETWEEN.split(value))}]"
