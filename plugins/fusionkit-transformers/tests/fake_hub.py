"""A local server that answers as the hub does: files of repositories, each at one commit."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
GATED = "owner/gated"


class FakeHub:
    """Serves the folders ``owner/name`` below a root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.requests: list[str] = []
        self.is_down = False
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._answer(with_body=False)

            def do_GET(self) -> None:
                self._answer(with_body=True)

            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, *, with_body: bool) -> None:
                hub.requests.append(f"{self.command} {self.path}")
                parts = self.path.partition("?")[0].strip("/").split("/")
                repository = "/".join(parts[:2])
                if hub.is_down:
                    self._refuse(503, "")
                elif repository == GATED:
                    self._refuse(403, "GatedRepo")
                elif parts[2:3] != ["resolve"] or not (hub.root / repository).is_dir():
                    self._refuse(404, "RepoNotFound")
                elif not (path := hub.root / repository / "/".join(parts[4:])).is_file():
                    self._refuse(404, "EntryNotFound")
                else:
                    body = path.read_bytes()
                    self.send_response(200)
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    if with_body:
                        self.wfile.write(body)

            def _refuse(self, status: int, code: str) -> None:
                self.send_response(status)
                if code:
                    self.send_header("X-Error-Code", code)
                    self.send_header("X-Error-Message", "refused")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def folder(self, repository: str) -> Path:
        path = self.root / repository
        path.mkdir(parents=True, exist_ok=True)
        return path
