"""Download files: continued after a cut, tried again while a server is busy, checked against their checksums."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import logging
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.auth import AuthBase

from skinlab.errors import UserError
from skinlab.fetching.catalogue import KAGGLE, RemoteFile, Source
from skinlab.fetching.kaggle import HOW

log = logging.getLogger(__name__)
T = TypeVar("T")

CHUNK = 1 << 20  # bytes
BUSY = (408, 425, 429, 500, 502, 503, 504)
MAX_PAUSE = 60.0  # seconds between two attempts
MAX_DAMAGED = 2  # downloads with a wrong checksum, until the server is taken to have another file


class CutError(Exception):
    """A download that may go on: the reason, and for how many seconds the server wants to be left alone."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class Downloader:
    """Download the files of a source into a folder.

    Attributes:
        folder: of finished files and, as ``.part``, unfinished ones.
        source: of the files, for messages.
        hosts: name → address.
        logins: host → login.
        retries: attempts in a row that bring nothing new.
        pause: seconds before the first of them; doubled each time, up to a minute, unless the server says how long.
        timeout: seconds without an answer or a byte.
    """

    folder: Path
    source: Source
    hosts: Mapping[str, str]
    logins: Mapping[str, AuthBase | None]
    retries: int
    pause: float
    timeout: float

    def __post_init__(self) -> None:
        """Open the connections, which are kept for all files."""
        self.session, self.answered = requests.Session(), False
        self.session.headers.update({"Accept-Encoding": "identity", "User-Agent": "skinlab"})

    def address(self, file: RemoteFile) -> str:
        """Return the address of a file."""
        return self.hosts[file.host].rstrip("/") + file.path

    def size(self, file: RemoteFile) -> int | None:
        """Return the number of bytes of a file; None where the server doesn't say.

        Raises:
            UserError: the file can't be had.
        """
        if file.size is not None:
            return file.size

        def ask() -> int | None:
            # Not HEAD, which signed addresses refuse.
            with self._open(file, {"Range": "bytes=0-0"}) as response:
                return _total(response)

        return self._persist(file, ask, lambda: 0)

    def received(self, file: RemoteFile) -> int:
        """Return how many bytes of a file are here."""
        paths = (self.folder / file.name, self._part(file))
        return next((path.stat().st_size for path in paths if path.exists()), 0)

    def fetch(self, file: RemoteFile, advance: Callable[[int], None]) -> Path:
        """Download a file, from where an earlier attempt ended.

        Args:
            file: to be downloaded.
            advance: called with the number of bytes that came, negative where some have to come again.

        Returns:
            the complete and checked file.

        Raises:
            UserError: it can't be had, or has another checksum.
        """
        done, part = self.folder / file.name, self._part(file)
        for attempt in range(MAX_DAMAGED):
            if not done.exists():
                md5 = self._persist(file, lambda: self._receive(file, advance), lambda: self.received(file))
                if md5 and md5 != checksum(part, "md5"):
                    advance(-self.received(file))
                    self._forget(file)
                    log.warning(
                        "%s: wrong checksum; downloading it again (%d of %d)", file.name, attempt + 1, MAX_DAMAGED
                    )
                    continue
                part.replace(done)
                self._validator(file).unlink(missing_ok=True)
            return done
        raise UserError(
            f"{file.name} from {self.address(file)} does not have the published checksum, {MAX_DAMAGED} times: nothing "
            f"of it is kept; try another network, or {self._by_hand()}"
        )

    def _receive(self, file: RemoteFile, advance: Callable[[int], None]) -> str | None:
        """Add to the part of a file what is missing; return the MD5 that the complete file must have, if known."""
        part, validator = self._part(file), self._validator(file)
        here = part.stat().st_size if part.exists() else 0
        known = validator.read_text(encoding="utf-8") if validator.exists() else ""
        headers = (
            {"Range": f"bytes={here}-", **({"If-Range": known} if known else {})}
            if here and (known or file.md5)
            else {}
        )
        with self._open(file, headers, ok=(416,)) as response:
            md5 = file.md5 or _published_md5(response)
            if response.status_code == 416 and _total(response) == here:
                return md5
            goes_on = response.status_code == 206 and _start(response) == here
            if not goes_on and here:  # another file by now, or a server that can't continue
                advance(-here)
                self._forget(file)
            if response.status_code == 416:
                raise CutError("the server has a shorter file than before")
            mark = response.headers.get("ETag", "")
            validator.write_text("" if mark.startswith("W/") else mark, encoding="utf-8")
            with part.open("ab") as target:
                try:
                    while chunk := response.raw.read1(CHUNK):  # what has come; iter_content loses it at a cut
                        target.write(chunk)
                        advance(len(chunk))
                except urllib3.exceptions.HTTPError as error:
                    raise CutError(f"the connection was cut ({_reason(error)})") from None
        total = _total(response)
        if total is not None and part.stat().st_size < total:
            raise CutError("the connection was cut")
        return md5

    def _open(self, file: RemoteFile, headers: Mapping[str, str], ok: tuple[int, ...] = ()) -> requests.Response:
        """Send a request; CutError where another attempt may help, UserError where none will."""
        url, host = self.address(file), urlsplit(self.hosts[file.host]).netloc
        try:
            response = self.session.get(
                url, headers=headers, stream=True, timeout=self.timeout, auth=self.logins.get(file.host)
            )
        except requests.RequestException as error:
            if not self.answered and isinstance(_cause(error), socket.gaierror):  # later it may be a short outage
                raise UserError(
                    f"{file.name}: {host} can't be found ({_reason(error)}): connect to a network (HTTPS_PROXY names a "
                    f"proxy), or {self._by_hand()}"
                ) from None
            raise CutError(f"{host} can't be reached ({_reason(error)})") from None
        self.answered, status = True, response.status_code
        if status < 400 or status in ok:
            return response
        response.close()
        if status in BUSY:
            raise CutError(f"{host} is busy (HTTP {status})", _wait(response.headers.get("Retry-After", "")))
        if status in (401, 403) and file.host == KAGGLE:
            remedy = f"accept the rules on {self.source.page}" if self.logins.get(KAGGLE) else HOW
            raise UserError(f"Kaggle refuses {file.name} (HTTP {status}): {remedy}, then run the same command again")
        raise UserError(f"{url} can't be had (HTTP {status}): {self._by_hand()}")

    def _persist(self, file: RemoteFile, action: Callable[[], T], progress: Callable[[], int]) -> T:
        """Repeat an action that is cut, with growing pauses, until it brings nothing new `retries` times in a row."""
        failed = 0
        while True:
            before = progress()
            try:
                return action()
            except CutError as cut:
                failed = 1 if progress() > before else failed + 1
                if failed > self.retries:
                    raise UserError(
                        f"{file.name}: {cut}, {failed} times in a row: the same command goes on later from "
                        f"{progress() / 1e6:.0f} MB; or {self._by_hand()}"
                    ) from None
                pause = min(self.pause * 2 ** (failed - 1), MAX_PAUSE) if cut.wait is None else cut.wait
                log.warning("%s: %s; again in %.3g s (%d of %d)", file.name, cut, pause, failed, self.retries)
                time.sleep(pause)

    def _by_hand(self) -> str:
        """Return how all files of the source are had without this class."""
        names = [file.name for file in self.source.files]
        archive = f"archive={names[0]}" if len(names) == 1 else f"'archive=[{','.join(names)}]'"
        return f"download {', '.join(names)} from {self.source.page} and set {archive}"

    def _part(self, file: RemoteFile) -> Path:
        return self.folder / f"{file.name}.part"

    def _validator(self, file: RemoteFile) -> Path:
        """Where the server's mark of the file's version is kept, with which only the same file is continued."""
        return self.folder / f"{file.name}.etag"

    def _forget(self, file: RemoteFile) -> None:
        self._part(file).unlink(missing_ok=True)
        self._validator(file).unlink(missing_ok=True)


def checksum(path: Path, algorithm: str) -> str:
    """Return the checksum of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _total(response: requests.Response) -> int | None:
    """Return the size of the whole file of an answer, None where it doesn't say."""
    if response.status_code in (206, 416):
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        size = response.headers.get("Content-Length", "")
    return int(size) if size.isdecimal() else None


def _start(response: requests.Response) -> int:
    """Return the first byte of a part of a file, -1 where the answer doesn't say."""
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdecimal() else -1


def _published_md5(response: requests.Response) -> str | None:
    """Return the MD5 in the header of Google's storage, which serves Kaggle's files."""
    for part in response.headers.get("X-Goog-Hash", "").split(","):
        name, _, value = part.strip().partition("=")
        if name == "md5":
            return base64.b64decode(value).hex()
    return None


def _wait(value: str) -> float | None:
    """Return the seconds of a ``Retry-After``, a number or a date, at most a minute."""
    if value.isdecimal():
        return min(float(value), MAX_PAUSE)
    try:
        seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_PAUSE)


def _cause(error: BaseException) -> BaseException:
    """Return the first of the errors behind one of the network."""
    cause: BaseException | None = error
    while cause is not None:
        reason = getattr(cause, "reason", None)
        inner = next((each for each in (reason, *cause.args) if isinstance(each, Exception)), cause.__context__)
        error, cause = cause, inner
    return error


def _reason(error: BaseException) -> str:
    """Return the cause of an error of the network in a few words."""
    error = _cause(error)
    return str(error).rpartition("] ")[2] or type(error).__name__
