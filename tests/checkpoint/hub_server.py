"""A local server that speaks what huggingface_hub asks the hub for, up and down."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import yaml

TOKENS = {"hf_writer": "somebody", "hf_reader": "reader"}
PRIVATE, GATED = "somebody/private", "somebody/gated"
Files = dict[str, bytes]


class HubServer:
    """Repositories with branches of commits; who has the token ``hf_writer`` may write to his.

    Attributes:
        commits: the files of each commit of a repository.
        branches: the commit of each branch of a repository.
        messages: of all commits, in their order.
        requests: method and path of all that was asked.
        objects: large files by their checksum.
        is_down: whether every answer is 503.
        cut: a file in whose middle the connection ends.
        refuse_upload: whether large files are not taken.
    """

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, Files]] = {}
        self.branches: dict[str, dict[str, str]] = {}
        self.made: list[dict[str, Any]] = []
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.objects: Files = {}
        self.is_down = False
        self.cut: str | None = None
        self.refuse_upload = False
        hub = self

        class Handler(_Handler):
            server_of = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, files: Files, branch: str = "main") -> str:
        """Makes a commit, and the repository and branch if need be, and gives its name."""
        commit = hashlib.sha1(f"{name} {len(self.messages)} {branch}".encode()).hexdigest()
        self.commits.setdefault(name, {})[commit] = dict(files)
        self.branches.setdefault(name, {})[branch] = commit
        self.messages.append("")
        return commit

    def files(self, name: str, revision: str = "main") -> Files:
        return self.commits[name][self.branches[name].get(revision, revision)]


class _Handler(BaseHTTPRequestHandler):
    server_of: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._route()

    do_GET = do_POST = do_PUT = do_HEAD

    def log_message(self, *_: object) -> None:
        pass

    def _route(self) -> None:
        hub = self.server_of
        path = unquote(self.path.partition("?")[0])
        self.raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.requests.append(f"{self.command} {path}")
        if hub.is_down:
            return self._refuse(503)
        for pattern, answer in ROUTES.items():
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                return answer(self, **found.groupdict())
        return self._refuse(404)

    @property
    def user(self) -> str | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        return TOKENS.get(token) if scheme == "Bearer" else None

    def _json(self, data: Any, status: int = 200) -> None:
        self._send(json.dumps(data).encode(), status)

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str = "", message: str = "refused") -> None:
        headers = {"X_Error_Code": code, "X_Error_Message": message} if code else {}
        self._send(b"", status, **headers)

    def _may_write(self, name: str) -> bool:
        if self.user is None:
            self._refuse(401, "", "")
        elif name.partition("/")[0] != self.user:
            self._refuse(403)
        elif name not in self.server_of.branches:
            self._refuse(404, "RepoNotFound")
        else:
            return True
        return False

    def create(self) -> None:
        asked = json.loads(self.raw)
        name = f"{asked['organization'] or self.user}/{asked['name']}"
        if self.user is None:
            return self._refuse(401)
        if name.partition("/")[0] != self.user:
            return self._refuse(403)
        status = 409 if name in self.server_of.branches else 200
        if status == 200:
            self.server_of.made.append(asked)
            self.server_of.add(name, {".gitattributes": b"*.safetensors filter=lfs\n"})
        return self._json({"url": f"{self.server_of.address}/{name}"}, status)

    def info(self, name: str) -> None:
        if name not in self.server_of.branches:
            return self._refuse(404, "RepoNotFound")
        return self._json({"id": name, "sha": self.server_of.branches[name]["main"]})

    def branch(self, name: str, revision: str) -> None:
        if not self._may_write(name):
            return
        branches = self.server_of.branches[name]
        if revision in branches:
            self._refuse(409)
        else:
            branches[revision] = branches["main"]
            self._json({})

    def tree(self, name: str, revision: str) -> None:
        files = self.server_of.files(name, revision)
        self._json(
            [
                {"type": "file", "path": path, "size": len(raw), "oid": _git_oid(raw)}
                for path, raw in files.items()
            ]
        )

    def validate(self) -> None:
        front = json.loads(self.raw)["content"].split("---\n")
        right = len(front) > 2 and isinstance(yaml.safe_load(front[1]), dict)
        errors = [] if right else [{"message": "the front matter is no mapping"}]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def preupload(self, name: str, revision: str) -> None:
        if not self._may_write(name):
            return None
        if revision not in self.server_of.branches[name]:
            return self._refuse(404, "RevisionNotFound")
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(self.raw)["files"]
        ]
        return self._json({"files": files})

    def batch(self, name: str) -> None:
        if not self._may_write(name):
            return
        address = self.server_of.address
        objects = []
        for asked in json.loads(self.raw)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.server_of.objects:
                upload = {"href": f"{address}/lfs/{asked['oid']}"}
                entry["actions"] = {"upload": upload, "verify": {"href": f"{address}/lfs/verify"}}
            objects.append(entry)
        self._json({"transfer": "basic", "objects": objects})

    def put(self, oid: str) -> None:
        if self.server_of.refuse_upload or hashlib.sha256(self.raw).hexdigest() != oid:
            return self._refuse(400)
        self.server_of.objects[oid] = self.raw
        return self._send(b"")

    def verify(self) -> None:
        asked = json.loads(self.raw)
        right = len(self.server_of.objects.get(asked["oid"], b"")) == asked["size"]
        self._json({}, 200 if right else 400)

    def commit(self, name: str, revision: str) -> None:
        if not self._may_write(name):
            return
        hub = self.server_of
        files = dict(hub.files(name, revision))
        for line in self.raw.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
            else:
                message = value["summary"]
        made = hub.add(name, files, revision)
        hub.messages[-1] = message
        self._json({"commitUrl": f"{hub.address}/{name}/commit/{made}", "commitOid": made})

    def resolve(self, name: str, revision: str, file: str) -> None:
        hub = self.server_of
        if name not in hub.branches or (name == PRIVATE and self.user != "somebody"):
            return self._refuse(404, "RepoNotFound")
        if name == GATED:
            return self._refuse(403, "GatedRepo")
        commit = hub.branches[name].get(revision, revision)
        if commit not in hub.commits[name]:
            return self._refuse(404, "RevisionNotFound")
        body = hub.commits[name][commit].get(file)
        if body is None:
            return self._refuse(404, "EntryNotFound")
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if hub.cut == file and self.command == "GET":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        return self._send(body, X_Repo_Commit=commit, ETag=etag)


def _git_oid(raw: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()


NAME = r"(?P<name>[^/]+/[^/]+)"
ROUTES: dict[str, Callable[..., None]] = {
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": _Handler.validate,
    rf"GET /api/models/{NAME}": _Handler.info,
    rf"POST /api/models/{NAME}/branch/(?P<revision>.+)": _Handler.branch,
    rf"GET /api/models/{NAME}/tree/(?P<revision>.+)": _Handler.tree,
    rf"POST /api/models/{NAME}/preupload/(?P<revision>.+)": _Handler.preupload,
    rf"POST /api/models/{NAME}/commit/(?P<revision>.+)": _Handler.commit,
    rf"POST /{NAME}\.git/info/lfs/objects/batch": _Handler.batch,
    r"POST /lfs/verify": _Handler.verify,
    r"PUT /lfs/(?P<oid>[0-9a-f]{64})": _Handler.put,
    rf"(HEAD|GET) /{NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)": _Handler.resolve,
}
