"""A server on 127.0.0.1 that speaks the file protocol of the Hugging Face Hub, and serves files like a release page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


@dataclass
class Repo:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    token: str = ""

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        commit = sha1(f"{len(self.commits)} {ref} {sorted(files)}")
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit


class Port(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Stay quiet about clients that hang up."""


class HubServer:
    """Keeps repositories in memory; `requests` is what it was asked. Large files come from another origin, as from a CDN."""

    def __init__(self) -> None:
        self.ports = [Port(self), Port(self)]
        self.url, self.cdn = (port.url for port in self.ports)
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.release: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.raw: dict[str, Callable[[Handler], None]] = {}  # answers at /raw/<name>, written by a test
        self.break_after: list[int] = []  # of the next answers with a file: bytes until the connection breaks
        self.status = 0  # of every answer, if not 0
        self.bend: Callable[[int, dict[str, str]], tuple[int, dict[str, str]]] | None = None  # changes status and headers
        self.bend_json: Callable[[object], bytes] | None = None  # writes answers in another way

    def __enter__(self) -> HubServer:
        for port in self.ports:
            threading.Thread(target=port.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        while self.ports:
            port = self.ports.pop()
            port.shutdown()
            port.server_close()

    def repo(self, name: str, files: dict[str, bytes], **options) -> str:
        self.repos[name] = Repo(**options)
        return self.repos[name].commit(files)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.hub: HubServer = self.server.hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        if self.hub.status:
            return self.fail(self.hub.status)
        if match := re.fullmatch(r"/cdn/(\w+)", path):
            return self.send_bytes(self.hub.blobs[match[1]])
        if match := re.fullmatch(r"/release/(.+)", path):
            content = self.hub.release.get(match[1])
            return self.send_bytes(content) if content is not None else self.fail(404)
        if match := re.fullmatch(r"/raw/(.+)", path):
            return self.hub.raw[match[1]](self)
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self.model_info(match[1], match[2] or "main")
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self.resolve(match[1], match[2], match[3])
        return self.fail(404)

    def find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return a commit, or answer that there is none."""
        repo = self.hub.repos.get(name)
        if repo is None or (repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}"):
            return self.fail(401, "RepoNotFound", "Repository not found")
        commit = repo.refs.get(revision, revision)
        if commit not in repo.commits:
            return self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, repo.commits[commit]

    def model_info(self, name: str, revision: str) -> None:
        if name in self.hub.renamed:
            return self.redirect(self.path.replace(name, self.hub.renamed[name], 1))
        if found := self.find(name, revision):
            siblings = [{"rfilename": file} for file in found[1]]
            return self.send_json({"id": name, "modelId": name, "sha": found[0], "private": False, "siblings": siblings})
        return None

    def resolve(self, name: str, revision: str, file: str) -> None:
        if name in self.hub.renamed:
            return self.redirect(self.path.replace(name, self.hub.renamed[name], 1))
        found = self.find(name, revision)
        if not found:
            return None
        if self.hub.repos[name].gated and "Authorization" not in self.headers:
            return self.fail(401, "GatedRepo", f"Access to model {name} is restricted.")
        commit, files = found
        if file not in files:
            return self.fail(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        content = files[file]
        about = {"X-Repo-Commit": commit}
        if not file.endswith((".safetensors", ".pth")):
            return self.send_bytes(content, about | {"ETag": f'"{hashlib.sha1(content).hexdigest()}"'})
        digest = hashlib.sha256(content).hexdigest()
        self.hub.blobs[digest] = content
        about |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        return self.redirect(f"{self.hub.cdn}/cdn/{digest}", about)

    # ---------------------------------------------------------------- writing

    def do_POST(self) -> None:
        path = unquote(self.path.partition("?")[0])
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(("POST", path, ""))
        if self.headers.get("Authorization") is None:
            return self.fail(401, "", "Invalid username or password.")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            known = name in self.hub.repos
            if not known:
                self.hub.repo(name, {})
            return self.send_json({"url": f"{self.hub.url}/{name}"}, 409 if known else 200)
        if path == "/api/validate-yaml":
            return self.send_json({"errors": [], "warnings": []})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            files = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in json.loads(body)["files"]]
            return self.send_json({"files": files})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            lines = [json.loads(line) for line in body.splitlines()]
            repo = self.hub.repos[match[1]]
            files = dict(repo.commits[repo.refs["main"]])
            files |= {v["value"]["path"]: base64.b64decode(v["value"]["content"]) for v in lines if v["key"] == "file"}
            commit = repo.commit(files)
            url = f"{self.hub.url}/{match[1]}/commit/{commit}"
            return self.send_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})
        return self.fail(404)

    # ---------------------------------------------------------------- answers

    def send_bytes(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        start = 0
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(match[1])
        about = dict(headers or {})
        if start:
            about["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        about |= {"Accept-Ranges": "bytes", "Content-Length": str(len(content) - start)}
        self.begin(206 if start else 200, about)
        if self.command == "HEAD":
            return
        if self.hub.break_after:
            self.wfile.write(content[start : start + self.hub.break_after.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(content[start:])

    def send_json(self, value: object, status: int = 200) -> None:
        body = self.hub.bend_json(value) if self.hub.bend_json else json.dumps(value).encode()
        self.answer(status, body, {"Content-Type": "application/json"})

    def redirect(self, target: str, headers: dict[str, str] | None = None) -> None:
        self.answer(302 if target.startswith("http") else 307, b"", {"Location": target} | (headers or {}))

    def fail(self, status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None) -> None:
        about = {"X-Error-Code": code, "X-Error-Message": message} if message else {}
        self.answer(status, json.dumps({"error": message}).encode(), about | (headers or {}))

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.begin(status, {"Content-Length": str(len(body))} | headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def begin(self, status: int, headers: dict[str, str]) -> None:
        if self.hub.bend:
            status, headers = self.hub.bend(status, headers)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
