"""Write a phantom to disk, completely or not at all, with the same content for any number of processes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain, groupby
from pathlib import Path

import cv2

from skinlab.errors import UserError
from skinlab.files import LOCK, claim
from skinlab.phantom.plan import Settings, Shot, plan
from skinlab.phantom.scene import draw_lesion, draw_view
from skinlab.phantom.tables import write_artefacts, write_metadata, write_truth
from skinlab.processes.cores import available_cores
from skinlab.processes.progress import Progress
from skinlab.processes.workers import count_progress, map_in_processes

MARKER = "phantom.json"
_DRAWING = 1  # raise it when the same settings give other pixels
_JPEG_QUALITY = 92
_CHUNK = 8  # lesions a task
_FEW_LESIONS = 100  # which one process draws before others would have started

_log = logging.getLogger(__name__)


def ensure_phantom(root: Path, settings: Settings, num_workers: int | None = None) -> None:
    """Make the phantom at `root` unless it is there already.

    It is drawn in a folder beside `root`, which is renamed at the end. Of two processes at the same time the second
    waits for the first; an unfinished phantom of a killed process is drawn again.

    Args:
        root: folder to be made.
        settings: of the phantom.
        num_workers: processes that draw; one for each core by default, eight at most.

    Raises:
        UserError: there is something else at `root`, or a phantom of other settings.
    """
    if _is_there(root, settings):
        return
    partial = root.with_name(f".{root.name}.partial")
    with claim(partial, "the unfinished phantom", wait=True):
        if _is_there(root, settings):
            return
        try:
            _empty(partial)
            _write(partial, settings, min(8, available_cores()) if num_workers is None else num_workers)
            try:
                (partial / LOCK).unlink()
                partial.rename(root)
            except OSError:  # something was put there meanwhile
                if not _is_there(root, settings):
                    raise
        except BaseException:
            _empty(partial)
            raise


def _empty(folder: Path) -> None:
    """Remove everything but the lock."""
    for path in list(folder.glob("*")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink()


def _is_there(root: Path, settings: Settings) -> bool:
    """Return whether this phantom is at `root`; refuse anything else there."""
    if not root.exists() or (root.is_dir() and next(root.iterdir(), None) is None):
        return False
    remedy = "choose another data.root, or delete that folder"
    try:
        found = dict(json.loads((root / MARKER).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        raise UserError(f"{root} is not a phantom (no readable {MARKER}), nothing was written: {remedy}") from None
    wanted = _marker(settings)
    if found.get("layout") == "ham10000":
        found.setdefault("min_lesions", 12)  # of phantoms drawn before it was a setting
    if found != wanted:
        names = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        differences = ", ".join(f"{name} is {found.get(name)}, wanted is {wanted.get(name)}" for name in names)
        raise UserError(f"the phantom at {root} was made with other settings ({differences}): {remedy}")
    return True


def _marker(settings: Settings) -> dict[str, object]:
    """Return the settings that the layout uses, as read from JSON."""
    counts = {"ham10000": ("n_images", "min_lesions"), "dsm2025": ("n_positive", "n_negative", "n_unlabeled", "n_test")}
    used = ["layout", "image_size", "seed", "artefact_bias", *counts[settings.layout]]
    used += ["device_bias"] if settings.device_bias else []  # not in phantoms drawn before it was a setting
    marker: dict[str, object] = json.loads(json.dumps({name: asdict(settings)[name] for name in used}))
    return marker | {"drawing": _DRAWING}


def _write(folder: Path, settings: Settings, num_workers: int) -> None:
    shots = plan(settings)
    for parent in {Path(p).parent for s in shots for p in (s.path, s.mask_path) if p}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    jobs = [(folder, settings, list(group)) for _, group in groupby(shots, key=lambda shot: shot.lesion)]
    _log.info("drawing %d phantom images", len(shots))
    structures = [shown for views in _progress(_map(jobs, num_workers), len(shots)) for shown in views]
    write_truth(folder, shots, structures)
    if settings.layout == "ham10000":
        write_metadata(folder, settings, shots)
        write_artefacts(folder, shots)
    (folder / MARKER).write_text(json.dumps(_marker(settings), indent=1) + "\n", encoding="utf-8")


Job = tuple[Path, Settings, list[Shot]]


def _map(jobs: list[Job], num_workers: int) -> Iterator[list[tuple[str, ...]]]:
    """Draw every job, in order."""
    if num_workers <= 1 or len(jobs) < _FEW_LESIONS:
        return map(_draw, jobs)
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    return chain.from_iterable(map_in_processes(_draw_all, chunks, num_workers))


def _draw_all(jobs: Sequence[Job]) -> list[list[tuple[str, ...]]]:
    return [_draw(job) for job in jobs]


def _draw(job: Job) -> list[tuple[str, ...]]:
    """Draw a lesion, write its images and masks, and return its structures for each image."""
    count_progress()
    folder, settings, shots = job
    size = settings.image_size
    lesion = draw_lesion(settings.seed, shots[0].lesion, shots[0].dx, size)
    for s in shots:
        photo, mask = draw_view(lesion, settings.seed, s.lesion, s.view, s.device, s.artefacts, size)
        _, jpeg = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        (folder / s.path).write_bytes(jpeg.tobytes())
        if s.mask_path:
            (folder / s.mask_path).write_bytes(cv2.imencode(".png", mask)[1].tobytes())
    return [lesion.structures] * len(shots)


def _progress(results: Iterable[list[tuple[str, ...]]], total: int) -> Iterator[list[tuple[str, ...]]]:
    """Yield the results while their progress is shown."""
    with Progress("drawing phantom images", total) as progress:
        for views in results:
            progress.advance(len(views))
            yield views
