"""The files of a run directory, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skinlab.errors import UserError
from skinlab.files import check_held

UNFINISHED = ".unfinished"


@contextlib.contextmanager
def writing_results(run_dir: Path) -> Iterator[None]:
    """Mark a run as unfinished for as long as its results are written, drawn and logged.

    Whatever ends the process meanwhile leaves the mark, and the same command makes all results again.
    """
    mark = run_dir / UNFINISHED
    check_held(mark)
    mark.touch()
    yield
    mark.unlink()


def is_finished(run_dir: Path) -> bool:
    """Tell whether a run has left all its results."""
    return (run_dir / "metrics.json").exists() and not (run_dir / UNFINISHED).exists()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and rename it on success; on failure nothing is left behind.

    Raises:
        UserError: the disk is full or not writable, and the former file stays as it was; or the folder is gone.
    """
    check_held(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"can't write {path} ({error.strerror or error}): free some space or choose another directory; "
            "what was there before is untouched"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all; NaN is written as null, which every reader understands."""
    write_text(path, json.dumps(_without_nan(content), indent=2, sort_keys=False) + "\n")


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content
