import itertools
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


def other(path: Path, tmp_path: Path) -> Path:
    """Move a file elsewhere and return where to."""
    return path.replace(tmp_path / "elsewhere")


def link(path: Path, tmp_path: Path) -> None:
    path.symlink_to(other(path, tmp_path))


def pipe(path: Path, tmp_path: Path) -> None:
    other(path, tmp_path)
    os.mkfifo(path)


def blacken(path: Path, tmp_path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def swap(path: Path, tmp_path: Path) -> None:
    """Give it the name of another cache, whose images are as many and as large."""
    content = path.read_bytes()
    pixels = np.frombuffer(content[: -cache.CHECKSUM], np.uint8).reshape(N, SIZE, SIZE, 3)[::-1].copy()
    path.write_bytes(pixels.tobytes() + cache._checksum(path.with_name("other.u8"), pixels))


FAULTS = {
    "empty": lambda path, tmp_path: path.write_bytes(b""),
    "cut": lambda path, tmp_path: os.truncate(path, path.stat().st_size - 5),
    "cut to whole images": lambda path, tmp_path: os.truncate(path, SIZE * SIZE * 3 * 4),
    "cut with its checksum": lambda path, tmp_path: os.truncate(path, SIZE * SIZE * 3 * 4 + cache.CHECKSUM),
    "black": blacken,
    "another cache": swap,
    "link": link,
    "pipe": pipe,
    "written by others": lambda path, tmp_path: path.chmod(0o666),
    "another user's": lambda path, tmp_path: os.chown(path, 4711, -1),
}
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
BY_ROOT = ["another user's"]


@pytest.mark.parametrize("kind", ["ram", "disk"])
@pytest.mark.parametrize("fault", [pytest.param(f, marks=needs_root if f in BY_ROOT else ()) for f in FAULTS])
def test_what_is_not_our_cache_is_built_again(paths, folder, tmp_path, kind, fault, caplog):
    first = build(paths, folder, kind)
    expected, path = first[3].copy(), first.path
    FAULTS[fault](path, tmp_path)
    again = build(paths, folder, kind)
    assert caplog.text.count("the image cache is built again") == 1
    del first
    np.testing.assert_array_equal(again[3], expected)
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    if fault == "link":
        assert (tmp_path / "elsewhere").stat().st_size == N * SIZE * SIZE * 3 + cache.CHECKSUM


def test_a_folder_in_shared_memory_has_to_be_ones_own(paths, folder, tmp_path):
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(
        UserError, match=r"can be written by other users: remove it, or set data\.cache to none or disk"
    ):
        build(paths, folder, "ram")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link or no folder"):
        build(paths, folder, "ram")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_cache_that_cannot_be_read_back_is_refused(paths, folder, monkeypatch):
    checksums = itertools.count()
    monkeypatch.setattr(cache, "_checksum", lambda path, pixels: bytes([next(checksums)]) * cache.CHECKSUM)
    with pytest.raises(UserError, match=r"though it was just written; set data\.cache_dir to a folder on a local disk"):
        build(paths, folder)


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
    assert files(folder) == [".u8"]
    del part
    assert files(folder) == []


def test_a_disk_cache_stays_without_what_a_killed_run_left(paths, folder):
    path = build(paths, folder).path
    path.rename(path.with_name(f".{path.name}.a1b2.tmp"))
    build(paths, folder)
    assert files(folder) == [".u8"]


def test_a_forked_worker_deletes_nothing(paths, folder):
    cached = build(paths, folder, "ram")

    def end() -> None:
        nonlocal cached
        del cached

    worker = multiprocessing.get_context("fork").Process(target=end)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert files(folder) == [".u8"]


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


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_too_little_space_is_refused_before_building(paths, folder, monkeypatch, kind):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(UserError, match=r"data\.cache=none"):
        build(paths, folder, kind)
    assert ".u8" not in files(folder)


def test_a_broken_image_leaves_no_cache(paths, folder):
    paths[9].write_bytes(b"nothing")
    with pytest.raises(BadImage, match=r"9\.png"):
        build(paths, folder)
    assert files(folder) == []


def test_mistakes_are_refused(paths, folder, tmp_path):
    with pytest.raises(UserError, match="cache_dir"):
        open_cache(paths, size=SIZE, kind="disk")
    with pytest.raises(BadImage, match="gone"):
        build([*paths, tmp_path / "gone.png"], folder)
