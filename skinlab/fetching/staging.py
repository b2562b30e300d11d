"""Build a data set beside the place that it will have, so that nothing incomplete ever has its name."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from skinlab.errors import UserError
from skinlab.fetching.catalogue import DataSet, RemoteFile
from skinlab.fetching.download import Downloader, checksum
from skinlab.fetching.unpack import check_space, unpack
from skinlab.files import write_json
from skinlab.json_files import read_json

log = logging.getLogger(__name__)

RECORD = "fetched.json"
UNPACKED = 1.05  # size of unpacked photographs over that of their archive


class Staging:
    """The folders of a data set that is being fetched.

    Args:
        root: of the data set.
        source: where it comes from; files of several sources are kept apart.

    Attributes:
        folder: beside the root, hidden; what is in it serves the next attempt.
        content: below it, what becomes the root.
    """

    def __init__(self, root: Path, source: str) -> None:
        self.root = root
        self.folder = root.with_name(f".{root.name}.{source}")
        self.content = self.folder / "content"
        self.files: list[dict[str, Any]] = []

    def fill(self, data: DataSet, files: Sequence[RemoteFile], downloader: Downloader) -> None:
        """Download and unpack all files; what an earlier attempt has done is not done again.

        Raises:
            UserError: a file can't be had, is damaged, or there is no space.
        """
        waiting = [file for file in files if not self._record(file).exists()]
        sizes = {file: downloader.size(file) for file in waiting}
        missing = {file: (size or 0) - downloader.received(file) for file, size in sizes.items()}
        archives = [size or 0 for file, size in sizes.items() if file.is_archive]
        # An archive is deleted once it is unpacked: at most one is there beside what it held.
        needed = sum(max(each, 0) for each in missing.values()) + UNPACKED * max(archives, default=0)
        check_space(self.folder, int(needed), f"for {self.root.name}, archives and images together")
        self.content.mkdir(parents=True, exist_ok=True)
        total = None if None in sizes.values() else sum(size or 0 for size in sizes.values()) + sum(archives)
        with transfer(f"fetching {self.root.name}", total) as advance:
            for file in waiting:
                advance(downloader.received(file))
                path = downloader.fetch(file, advance)
                self._add(path, file.folder, data.holds, {"name": file.name, "url": downloader.address(file)}, advance)
                write_json(self._record(file), self.files[-1])
        self.files = [read_json(self._record(file), "record of a download", {}) for file in files]

    def take(self, data: DataSet, archives: Sequence[Path], folders: Sequence[str]) -> None:
        """Take files that the user has downloaded.

        Args:
            data: their data set.
            archives: files.
            folders: where each goes, below the root.

        Raises:
            UserError: one is missing or damaged, or there is no space.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.content.mkdir(parents=True)
        total = sum(path.stat().st_size for path in archives if path.suffix.lower() == ".zip")
        try:
            with transfer(f"unpacking {self.root.name}", total) as advance:
                for path, folder in zip(archives, folders, strict=True):
                    self._add(path, folder, data.holds, {"name": path.name, "url": None}, advance, keep=True)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def publish(self, facts: dict[str, Any]) -> None:
        """Give the complete data set its name, with a record of where it comes from.

        Raises:
            UserError: there is something of that name.
        """
        write_json(self.content / RECORD, facts | {"files": self.files})
        try:
            self.content.rename(self.root)
        except OSError as error:
            raise UserError(
                f"{self.content} can't be renamed to {self.root} ({error.strerror}): do it yourself"
            ) from None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _record(self, file: RemoteFile) -> Path:
        return self.folder / f"{file.name}.done.json"

    def _add(
        self,
        path: Path,
        folder: str,
        holds: str,
        facts: dict[str, Any],
        advance: Callable[[int], None],
        *,
        keep: bool = False,
    ) -> None:
        """Put a file, or what an archive holds, into the content."""
        facts = facts | {"bytes": path.stat().st_size, "sha256": checksum(path, "sha256")}
        if path.suffix.lower() == ".zip":
            inner = self.folder / "unpacked"
            unpack(path, inner, advance, holds=None if folder else holds or None)
            for each in [inner] if folder else list(inner.iterdir()):
                _replace(each, self.content / (folder or each.name))
            shutil.rmtree(inner, ignore_errors=True)
        elif keep:
            shutil.copy2(path, self.content / path.name)
        else:
            _replace(path, self.content / path.name)
        if not keep:
            path.unlink(missing_ok=True)
        self.files.append(facts)


def _replace(source: Path, target: Path) -> None:
    """Move a file or folder to a place that may be taken by an earlier attempt."""
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


@contextmanager
def transfer(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how many bytes are done and how long the rest takes; yield a function that is called with new bytes."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda n: progress.update(task, advance=n)
