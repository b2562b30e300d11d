"""Name the systems of an evaluation by what tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from skinlab.assessment.systems import System
from skinlab.errors import UserError
from skinlab.settings.recipes import tell_apart

LONG = 40  # characters of a name, beyond which that of the folder is used


def named(systems: Sequence[System], names: Sequence[str] | None, setting: str) -> list[System]:
    """Return systems under names of their own: those that are set, else what their recorded settings differ in.

    Runs keep the names of their folders where their settings are the same, or differ in more than a short name can say
    and the folders are not merely numbered; tables of one file name get those of folders, too.

    Args:
        systems: as they were found.
        names: one a system; None for those described.
        setting: that the systems come from, for messages.

    Raises:
        UserError: there are more or fewer names than systems, or one system twice.
    """
    if names is not None:
        if len(names) != len(systems):
            own = ", ".join(system.name for system in named(systems, None, setting))
            raise UserError(f"names= has {len(names)} names for {len(systems)} systems: {own}; name each once")
        return [replace(system, name=name) for system, name in zip(systems, names, strict=True)]
    described = _by_settings(_by_folders(systems))
    found = [system.name for system in described]
    if repeated := next((name for name in found if found.count(name) > 1), None):
        raise UserError(f"{setting}= names {repeated} twice; give each system once, or name them: 'names=[A,B]'")
    return described


def find_reference(systems: Sequence[System], reference: str | None) -> str | None:
    """Return the name of the system that ``reference=`` means, which may also be the place of a system, as it was set.

    The end of a place that no other system has is enough. A reference that is neither stays as it is.
    """
    if reference is None or reference in [system.name for system in systems]:
        return reference
    meant = [each.name for each in systems if each.place and reference in (each.place, Path(each.place).name)]
    return meant[0] if len(meant) == 1 else reference


def _by_settings(systems: Sequence[System]) -> list[System]:
    of_runs = [system for system in systems if system.runs]
    described = tell_apart([system.runs[0].config for system in of_runs]) if len(of_runs) > 1 else []
    names = dict(zip(map(id, of_runs), described, strict=False))
    if len(set(described)) < len(of_runs) or not all(described):
        return list(systems)
    folders = [system.name for system in of_runs]
    if (
        max(map(len, described), default=0) > LONG
        and len(set(folders)) == len(folders)
        and not any(Path(folder).name.isdigit() for folder in folders)
    ):
        return list(systems)
    return [replace(system, name=names[id(system)]) if id(system) in names else system for system in systems]


def _by_folders(systems: Sequence[System]) -> list[System]:
    """Return systems with one name under the ends of their paths that differ, such as ``A/predictions/val``."""
    found = [system.name for system in systems]
    alike = [i for i, system in enumerate(systems) if system.place and found.count(system.name) > 1]
    paths = [Path(systems[i].place).expanduser().absolute() for i in alike]
    parts = [(path.with_suffix("") if path.is_file() else path).parts for path in paths]
    for n in range(2, max(map(len, parts), default=0) + 1):
        ends = ["/".join(each[-n:]) for each in parts]
        if len(set(ends)) == len(ends):
            return [
                replace(system, name=ends[alike.index(i)]) if i in alike else system for i, system in enumerate(systems)
            ]
    return list(systems)
