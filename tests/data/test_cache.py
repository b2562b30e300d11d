import fcntl
import logging
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from skinlab.data import cache
from skinlab.data.cache import open_cache
from skinlab.data.dataset import ImageDataset
from skinlab.data.images import BadImage, read_image
from skinlab.data.samplers import Draw
from skinlab.data.transforms import heavy
from skinlab.errors import UserError

N, SIZE = 10, 16


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    pixels = np.random.default_rng(0).integers(0, 256, (N, 20, 24, 3), dtype=np.uint8)
    files = [tmp_path / f"{row}.png" for row in range(N)]
    for file, image in zip(files, pixels, strict=True):
        cv2.imwrite(str(file), image)
    return files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory where both kinds of cache lie in a test."""
    monkeypatch.setattr(cache, "RAM", tmp_path / "ram")
    return tmp_path / "ram" / f"skinlab-{os.getuid()}"


def build(paths, folder, kind="disk", **settings):
    return open_cache(paths, size=SIZE, kind=kind, directory=folder, num_workers=0, **settings)


def files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["ram", "disk"])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_cached_images_are_the_decoded_ones(paths, folder, kind, fit):
    cached = build(paths, folder, kind, fit=fit)
    assert len(cached) == N
    for row, path in enumerate(paths):
        np.testing.assert_array_equal(cached[row], read_image(str(path), SIZE, fit))


def test_cached_and_uncached_batches_are_equal(paths, folder):
    plain, cached = (
        ImageDataset(paths, range(N), size=SIZE, transform=heavy(SIZE), cache=source)
        for source in (None, build(paths, folder))
    )
    draws = [Draw(row, epoch) for row in range(N) for epoch in range(3)]
    assert torch.equal(plain.batch(draws)["image"], cached.batch(draws)["image"])


def test_none_and_no_images_need_no_cache(paths, folder):
    assert build(paths, folder, "none") is None
    assert build([], folder) is None


def test_a_second_user_builds_nothing(paths, folder, monkeypatch):
    first = build(paths, folder)
    monkeypatch.setattr(cache, "_build", None)
    np.testing.assert_array_equal(build(paths, folder)[3], first[3])


def test_what_decides_the_pixels_decides_the_cache(paths, folder):
    first = build(paths, folder)
    assert build(paths[::-1], folder).path != first.path
    assert build(paths, folder, fit="stretch").path != first.path
    os.utime(paths[0], ns=(1, 1))
    assert build(paths, folder).path != first.path


def test_images_are_read_only(paths, folder):
    with pytest.raises(ValueError, match="read-only"):
        build(paths, folder)[0][:] = 0


def test_selected_rows_are_renumbered(paths, folder):
    everything = build(paths, folder)
    some = everything.select([7, 2, 5]).select([2, 0])
    assert len(some) == 2
    np.testing.assert_array_equal(some[0], everything[5])


def test_pickling_copies_no_pixels(paths, folder):
    cached = build(paths, folder)
    pickled = pickle.dumps(cached.select([4]))
    assert len(pickled) < 1000
    np.testing.assert_array_equal(pickle.loads(pickled)[0], cached[4])


def test_the_last_user_deletes_a_ram_cache(paths, folder):
    first, second = build(paths, folder, "ram"), build(paths, folder, "ram")
    part = second.select([0])
    del first, second
    assert files(folder) == [".lock", ".u8"]
    del part
    assert files(folder) == []


def test_a_disk_cache_stays(paths, folder):
    build(paths, folder)
    assert files(folder) == [".lock", ".u8"]


def test_a_forked_worker_deletes_nothing(paths, folder):
    cached = build(paths, folder, "ram")

    def let_go() -> None:
        cached._finalizer()

    worker = multiprocessing.get_context("fork").Process(target=let_go)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert files(folder) == [".lock", ".u8"]


def test_what_a_killed_run_left_in_memory_is_swept(paths, folder):
    folder.mkdir(parents=True)
    for suffix in (".lock", ".u8", ".part"):
        (folder / f"old{suffix}").touch()
    cached = build(paths, folder, "ram")
    assert {path.stem for path in folder.iterdir()} == {cached.path.stem}


def open_from_a_process(paths, folder, queue) -> None:
    queue.put(build(paths, folder)[0].sum())


def test_processes_that_meet_build_once(paths, folder, monkeypatch, tmp_path):
    built = cache._build

    def counted(*args, **settings) -> None:
        with (tmp_path / "builds").open("a") as log:
            log.write("x")
        built(*args, **settings)

    monkeypatch.setattr(cache, "_build", counted)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    processes = [context.Process(target=open_from_a_process, args=(paths, folder, queue)) for _ in range(4)]
    for process in processes:
        process.start()
    sums = {queue.get() for _ in processes}
    for process in processes:
        process.join()
    assert len(sums) == 1
    assert (tmp_path / "builds").read_text() == "x"


def test_waiting_is_announced(paths, folder, caplog, monkeypatch):
    real, refused = fcntl.flock, []

    def busy_at_first(descriptor: int, mode: int) -> None:
        if mode & fcntl.LOCK_NB and not refused:
            refused.append(mode)
            raise BlockingIOError
        real(descriptor, mode)

    monkeypatch.setattr(fcntl, "flock", busy_at_first)
    with caplog.at_level(logging.INFO, logger="skinlab.data.cache"):
        build(paths, folder)
    assert "waiting" in caplog.text


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_too_little_space_is_told_before_building(paths, folder, monkeypatch, kind):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(UserError, match=r"data\.cache=none"):
        build(paths, folder, kind)
    assert ".u8" not in files(folder)


def test_a_broken_image_leaves_no_cache(paths, folder):
    paths[9].write_bytes(b"nothing")
    with pytest.raises(BadImage, match=r"9\.png"):
        build(paths, folder)
    assert files(folder) == [".lock"]


def test_mistakes_are_told(paths, folder, tmp_path):
    with pytest.raises(UserError, match="did you mean ram"):
        build(paths, folder, "rma")
    with pytest.raises(UserError, match="cache_dir"):
        open_cache(paths, size=SIZE, kind="disk")
    with pytest.raises(BadImage, match="gone"):
        build([*paths, tmp_path / "gone.png"], folder)
