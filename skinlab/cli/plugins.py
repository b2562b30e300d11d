"""Packages of the user's own, named by ``plugins=[...]``, whose parts and configs a command may use."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin

from skinlab.cli.conf import PLUGIN_FOLDERS
from skinlab.errors import UserError
from skinlab.settings.base import Settings
from skinlab.settings.part import allow_targets
from skinlab.settings.recorded import recorded_plugins

NAME = re.compile(r"[A-Za-z_][\w.]*")


class PluginSearchPath(SearchPathPlugin):
    """Adds the folders ``conf`` of plugins to those that Hydra searches, after skinlab's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folders."""
        for folder in PLUGIN_FOLDERS:
            search_path.append("plugins", f"file://{folder}")


def enable_plugins(overrides: Sequence[str]) -> None:
    """Import the packages that ``plugins=`` names, allow their targets and add their config files.

    Args:
        overrides: of the command line; only what it names itself is imported, since importing runs code.

    Raises:
        UserError: a name is no package's, or its import fails.
    """
    names = [name for each in overrides if each.startswith("plugins=") for name in _names(each)]
    for name in names:
        package = _import(name)
        allow_targets(name)
        for place in package.__path__:
            folder = Path(place) / "conf"
            if folder.is_dir() and folder not in PLUGIN_FOLDERS:
                PLUGIN_FOLDERS.append(folder)
    if PLUGIN_FOLDERS:
        Plugins.instance().register(PluginSearchPath)


def check_plugins(settings: Settings) -> None:
    """Refuse to read runs that were made with plugins which the command line does not name again.

    Raises:
        UserError: a run of ``ckpt``, ``runs`` or ``predictions`` may have parts of a package that is not imported.
    """
    named = settings.find("plugins")
    for setting in ("ckpt", "runs", "predictions"):
        places = settings.find(setting) or []
        for place in [places] if isinstance(places, str) else places:
            refuse_missing(recorded_plugins(Path(place).expanduser()), named, f"{setting}={place}")


def refuse_missing(recorded: Sequence[str], named: Sequence[str], place: str) -> None:
    """Refuse a run that was made with other plugins than those named.

    Raises:
        UserError: one or more are missing; a recorded name alone never imports code.
    """
    if strange := [name for name in recorded if not NAME.fullmatch(name)]:
        raise UserError(f"{place} was made with plugins=[{strange[0]}], which is no name of a package; use another run")
    if missing := [name for name in recorded if name not in named]:
        raise UserError(
            f"{place} was made with plugins=[{','.join(recorded)}]; name them again: "
            f"'plugins=[{','.join([*named, *missing])}]'"
        )


def _names(word: str) -> list[str]:
    try:
        value = OverridesParser.create().parse_overrides([word])[0].value()
    except HydraException:  # named with the other mistakes of the command line
        return []
    names = value if isinstance(value, list) else [value]
    if wrong := [name for name in names if not NAME.fullmatch(str(name))]:
        raise UserError(f"{word}: {wrong[0]} is no name of a package; write 'plugins=[my_package]'")
    return [str(name) for name in names]


def _import(name: str) -> ModuleType:
    if name.partition(".")[0] in sys.stdlib_module_names:
        raise UserError(f"plugins=[{name}]: that is a module of Python; name a package of your own")
    try:
        package = import_module(name)
    except Exception as error:  # importing may fail in any way
        raise UserError(
            f"plugins=[{name}]: {name} can't be imported ({error}); install it, or add its folder to PYTHONPATH"
        ) from None
    if not hasattr(package, "__path__"):
        raise UserError(f"plugins=[{name}]: {name} is a module; name a package, a folder with an __init__.py")
    return package
