"""A server on this machine that answers as Hugging Face's hub does: the list of a repository's files, and the files."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """Repositories by their names, and what was asked.

    Attributes:
        files: repository → name of a file → its content.
        gated: repositories whose files nobody gets.
        broken: repositories whose weights are refused by a busy server.
        requests: method and path of each request.
    """

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

        def answer(self, status: int, content: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.requests.append(f"{self.command} {self.path}")
            if self.path == "/":
                return self.answer(200)
            api = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/revision/([^/]+))?", self.path.partition("?")[0])
            file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            found = api or file
            if found is None or found[1] not in hub.files:
                return self.answer(404, X_Error_Code="RepoNotFound")
            if found[2] not in (None, "main", COMMIT):
                return self.answer(404, X_Error_Code="RevisionNotFound")
            contents = hub.files[found[1]]
            if api:
                listed = [{"rfilename": name} for name in contents]
                facts = {"_id": "1", "id": found[1], "modelId": found[1], "sha": COMMIT, "siblings": listed}
                return self.answer(200, json.dumps(facts).encode(), Content_Type="application/json")
            if found[1] in hub.gated:
                return self.answer(403, X_Error_Code="GatedRepo")
            if found[1] in hub.broken and not file[3].endswith((".json", ".md")):
                return self.answer(418)
            content = contents[file[3]]
            etag = hashlib.sha256(content).hexdigest()
            self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT, Accept_Ranges="bytes")

    return Handler


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Serve an empty hub until the block ends."""
    hub = Hub()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(hub)) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
