"""A server on this machine that answers as those of the data sets do: ranges, redirects, cuts, busy times."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """A file and how it is served.

    Attributes:
        content: its bytes.
        cut_after: bytes of each answer, after which the connection is closed, for the first `cuts` answers.
        busy: number of first answers that are `busy_status`.
        retry_after: header of those answers.
        etag: of the file; empty for a server that has none.
        ranges: whether parts are served.
        sized: whether the answer has the length.
        damaged: number of first answers with another first byte.
        login: the header that is needed, empty for none.
        stall: seconds that the server is silent after `cut_after` bytes, for the first `cuts` answers.
        goog: whether the MD5 is in Google's header.
    """

    content: bytes
    cut_after: int = 0
    cuts: int = 0
    busy: int = 0
    busy_status: int = 503
    retry_after: str = ""
    etag: str = '"1"'
    ranges: bool = True
    sized: bool = True
    damaged: int = 0
    login: str = ""
    stall: float = 0.0
    goog: bool = False


@dataclass
class Server:
    """Files by their path with the query, redirects by path, and what was asked: path and range."""

    address: str = ""
    files: dict[str, Served] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def asked(self, path: str) -> list[str]:
        """Return the ranges that were asked of a file, without the question for its size."""
        return [part for each, part in self.requests if each == path and part != "bytes=0-0"]


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

        def fail(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": "0"} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def do_GET(self) -> None:
            part = self.headers.get("Range", "")
            server.requests.append((self.path, part))
            if self.path in server.redirects:
                return self.fail(302, Location=server.redirects[self.path])
            served = server.files.get(self.path)
            if served is None:
                return self.fail(404)
            if served.login and self.headers.get("Authorization") != served.login:
                return self.fail(403)
            if served.busy:
                served.busy -= 1
                return self.fail(
                    served.busy_status, **({"Retry_After": served.retry_after} if served.retry_after else {})
                )
            return self.send(served, part)

        def send(self, served: Served, part: str) -> None:
            content, start = served.content, 0
            if served.damaged and part != "bytes=0-0":
                served.damaged -= 1
                content = b"?" + content[1:]
            same = self.headers.get("If-Range", served.etag) == served.etag
            size = len(content)
            if part and served.ranges and same:
                first, _, last = part.removeprefix("bytes=").partition("-")
                start = int(first)
                if start >= size:
                    return self.fail(416, Content_Range=f"bytes */{size}")
                content = content[start : int(last) + 1 if last else None]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{start + len(content) - 1}/{size}")
            else:
                self.send_response(200)
            if served.sized:
                self.send_header("Content-Length", str(len(content)))
            else:
                self.send_header("Connection", "close")
            if served.etag:
                self.send_header("ETag", served.etag)
            if served.goog:
                digest = base64.b64encode(hashlib.md5(served.content).digest()).decode()
                self.send_header("X-Goog-Hash", f"crc32c=AAAAAA==,md5={digest}")
            self.end_headers()
            if served.cuts and part != "bytes=0-0":
                served.cuts -= 1
                content = content[: served.cut_after]
                if served.stall:
                    self.wfile.write(content)
                    return time.sleep(served.stall)
                self.close_connection = True
            self.close_connection |= not served.sized
            self.wfile.write(content)

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """Yield a server on a free port."""
    server = Server()
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server))
    listening.daemon_threads = True
    server.address = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def zipped(files: dict[str, bytes]) -> bytes:
    """Return a ZIP archive of files by their names; its bytes do not depend on the time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
