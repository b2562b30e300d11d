"""Turn errors of the operating system into one line: the setting, its path, what happened there, a remedy."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FULL = (errno.ENOSPC, errno.EDQUOT)
REMEDIES = {
    **dict.fromkeys(FULL, "free some space there or choose another place, then run the same command again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give this user the right to it, or choose another place"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file lies where a folder is expected; choose another place"),
    errno.EROFS: "choose a place that can be written",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "name a file, not a folder",
    errno.ENOENT: "correct the path, or create what is missing",
    errno.ELOOP: "its links lead in a circle; correct them",
    errno.EIO: "the disk or the network drive fails; choose another place",
    errno.ESTALE: "the network drive is gone; mount it again",
    errno.EMFILE: "too many files are open; raise ulimit -n or set {workers}=0",
    errno.ENFILE: "too many files are open on this machine; set {workers}=0",
}
TYPED = ("hydra.run.dir", "hydra.sweep.dir")  # may be relative to the current folder
NEARLY_FULL = 1 << 20  # bytes


def explain_os_error(error: OSError, settings: Mapping[str, Any]) -> str | None:
    """Return one line that names the place and the remedy; None where the error has neither, as a bug's.

    Args:
        error: as raised.
        settings: of the command; the one that names the place is named in the line.
    """
    place, reason = error.filename, error.strerror or type(error).__name__
    if isinstance(place, int) or (place is None and error.errno not in (*FULL, errno.EMFILE, errno.ENFILE)):
        if error.errno == errno.ENOENT and "temporary directory" in reason:
            return f"{reason}: set TMPDIR to a folder that can be written"
        return None
    workers = "data.num_workers" if "data" in settings else "num_workers"
    remedy = REMEDIES.get(error.errno or 0, "choose another place").format(workers=workers)
    if place is not None:
        name = os.fsdecode(place)
        setting = _setting_of(Path(name).absolute(), settings)
        return f"{setting}{name}: {reason}; {remedy}"
    if error.errno not in FULL:
        return f"{reason}: {remedy}"
    full = ", ".join(f"{name}={path}" for name, path in _places(settings) if _is_full(path))
    return f"{reason}{f' ({full})' if full else ''}: {remedy}"


def _places(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield the settings that name an absolute path, the folders of Hydra, and the places of the environment."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _places(value, f"{prefix}{key}.")
        elif isinstance(value, str) and (value.startswith("/") or key in TYPED):
            yield "hydra.run.dir" if prefix + key == "run_dir" else prefix + key, Path(value).absolute()
    if not prefix:
        yield "TMPDIR", Path(tempfile.gettempdir())
        if output := settings.get("output"):
            yield "output", Path(str(output)).expanduser().absolute()


def _setting_of(place: Path, settings: Mapping[str, Any]) -> str:
    """Return ``name=value: `` of the setting whose path a place lies below, or else on; empty where there is none."""
    known = [(name, path) for name, path in _places(settings) if path != Path("/")]
    below = [each for each in known if place.is_relative_to(each[1])]
    on_the_way = [each for each in known if each[1].is_relative_to(place)]
    name, path = max(below or on_the_way[:1], key=lambda each: len(each[1].parts), default=("", place))
    return f"{name}={path}: " if name and path != place else f"{name}=" if name else ""


def _is_full(path: Path) -> bool:
    there = next((each for each in (path, *path.parents) if each.exists()), Path("/"))
    return shutil.disk_usage(there).free < NEARLY_FULL
