"""A web server for this machine alone, which knows nothing but the files of a site. Imports no torch."""

from __future__ import annotations

import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from ..errors import EscError
from .site import HEADERS, Part, Site, mime_type

HOST = "127.0.0.1"
#: By which a browser may call this machine. Another name leads here only if somebody's name server says so.
NAMES = (HOST, "localhost")


class PageServer(ThreadingHTTPServer):
    """Serves a site on the loopback interface.

    Parameters
    ----------
    site : Site
        What is served; nothing else can be asked for.
    port : int
        0 for any that is free.

    Raises
    ------
    EscError
        If the port can't be had.
    """

    daemon_threads = True
    #: On Unix a port whose connections are still being forgotten is free; on Windows this would share one that is taken.
    allow_reuse_address = os.name != "nt"

    def __init__(self, site: Site, port: int = 0) -> None:
        self.site = site
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise EscError(f"port {port} can't be used: {error.strerror or error}; choose another with --port.") from None
        self.url = f"http://{HOST}:{self.server_port}/"

    def handle_error(self, *_: Any) -> None:
        """Stay quiet about browsers that hang up."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "esc-sr", ""
    timeout = 60

    def do_GET(self) -> None:
        """Answer with a file of the site."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with what a file is."""
        self._answer(body=False)

    def log_message(self, *_: Any) -> None:
        """Say nothing: people wait for their picture, not for a log."""

    def _answer(self, *, body: bool) -> None:
        part, status = self._find()
        content = part.read() if part else f"{status.value} {status.phrase}\n".encode()
        tag = f'"{part.sha256}"' if part else ""
        if part and self.headers.get("If-None-Match") == tag:
            status, content = HTTPStatus.NOT_MODIFIED, b""
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if part:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", mime_type(self._name()) if part else "text/plain; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _find(self) -> tuple[Part | None, HTTPStatus]:
        host, _, port = self.headers.get("Host", "").rpartition(":")
        if host not in NAMES or port != str(self.server.server_port):
            return None, HTTPStatus.MISDIRECTED_REQUEST
        part = self.server.site.get(self._name())
        return part, HTTPStatus.OK if part else HTTPStatus.NOT_FOUND

    def _name(self) -> str:
        """Return the name that is asked for; it is looked up as it is, so that no way leads out of the site."""
        return unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"
