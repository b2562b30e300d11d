"""What a command has left: its results, to be compared bit for bit, and what of it is damaged."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from tests.golden import leaves, outcome

BYTES = {".u8", ".bin", ".jpg"}  # compared whole; other files that hold times or places count as there
HASHED = {".ckpt", ".bundle", ".safetensors", ".json", ".csv"}
MISSING = "nothing"
OF_THE_PROCESS = {"remembered", "fetched"}  # images that an earlier audit has read, and a time
# The content of a checkpoint counts, not its bytes: a continued training pickles equal strings as several.
CHECKSUM = re.compile(r"/meta(\.json)?/checkpoints/\d+$")
LOGS = {"log.txt", ".lock", "job.json"}  # of times, kept by the process of each part of a run


def results(folder: Path) -> dict[str, Any]:
    """Return file → its content or a hash of it, without times and places, for all files below a folder."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        unlocked = path.suffix == ".tmp" and path.name.startswith((".fingerprints", ".duplicates"))
        if path.is_dir() or path.name in LOGS or unlocked:  # a killed audit's, which another one may be writing
            continue
        content: Any = "there"
        if path.suffix in BYTES:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix in HASHED:
            content = outcome(path)
        if isinstance(content, dict):
            content = {name: value for name, value in content.items() if name not in OF_THE_PROCESS}
        found[str(path.relative_to(folder))] = content
    return dict(json.loads(json.dumps(found).replace(str(folder), "")))


def check_equal(expected: dict[str, Any], folder: Path, *, caches: bool = True) -> None:
    """Expect the results below a folder to be those of an undisturbed command, bit for bit.

    Args:
        expected: see :func:`results`.
        folder: of the results.
        caches: whether its caches count: a command that can't write one may go on without.
    """
    then, now = (dict(leaves(each)) for each in (expected, results(folder)))
    places = [place for place in then.keys() | now.keys() if not CHECKSUM.search(place)]
    differing = [place for place in places if then.get(place, MISSING) != now.get(place, MISSING)]
    places = sorted(place for place in differing if caches or not place.startswith("/cache/"))
    lines = [f"{place}: {then.get(place, MISSING)!r} → {now.get(place, MISSING)!r}" for place in places]
    assert not lines, "\n".join(lines[:20])


def check_finished(process: subprocess.CompletedProcess[str]) -> None:
    """Expect exit code 0, or that the command was killed when its output was complete, and keeps it."""
    if not (process.returncode == 2 and re.search(r"error: .* exists; choose another output", process.stderr)):
        assert process.returncode == 0, process.stderr


def check_refused(process: subprocess.CompletedProcess[str], message: str = "") -> None:
    """Expect exit code 2 and one line of error, with a message in it, beside what is logged."""
    assert process.returncode == 2, process.stderr
    errors = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, process.stderr
    assert "Traceback" not in process.stderr, process.stderr
    assert re.match(rf"error: .*{message}", errors[0]), process.stderr


def damaged(folder: Path, *, killed: bool = False) -> list[str]:
    """Return the files below a folder that are not whole.

    Args:
        folder: of the output.
        killed: the process had no time to remove its temporary files.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in LOGS]
    whole = [path for path in paths if not (path.name.startswith(".") and path.suffix == ".tmp")]
    return [str(path.relative_to(folder)) for path in paths if (_broken(path) if path in whole else not killed)]


def _broken(path: Path) -> bool:
    """Return whether a file ends before its end."""
    content = path.read_bytes()
    if path.parent.name == "csv" or (path.suffix == ".jsonl" and not content):  # logs, which grow by a row at a time
        return False
    try:
        if path.suffix == ".json":
            json.loads(content)
        elif path.suffix in (".ckpt", ".bundle"):
            return zipfile.ZipFile(path).testzip() is not None
        elif path.suffix == ".safetensors":
            outcome(path)
    except Exception:
        return True
    ends = {".csv": b"\n", ".jsonl": b"\n", ".html": b"</html>", ".yaml": b"\n", ".png": b"IEND\xaeB`\x82"}
    return not content.rstrip(b"\n" if path.suffix == ".html" else b"").endswith(ends.get(path.suffix, b""))
