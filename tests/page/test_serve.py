"""The server of the page: what it hands out, to whom, and with which headers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from esc_plugin import EscError
from esc_plugin.page.serve import PageServer
from esc_plugin.page.site import HEADERS, Part


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    (tmp_path / "a.wasm").write_bytes(b"\0asm")
    site = {"index.html": Part(b"<!doctype html>"), "engine/a.js": Part(b"1"), "a.wasm": Part(tmp_path / "a.wasm")}
    with PageServer(site) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_files_come_with_their_types_and_the_headers_of_threads(server: PageServer) -> None:
    for path, kind in {"/": "text/html", "/engine/a.js": "text/javascript", "/a.wasm?v=1": "application/wasm"}.items():
        status, headers, _ = ask(server, path)
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert HEADERS.items() <= headers.items()
    assert ask(server, "/a.wasm")[2] == b"\0asm"


def test_a_head_has_no_body_and_an_unchanged_file_isnt_sent_again(server: PageServer) -> None:
    status, headers, body = ask(server, "/", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "15", b"")
    status, _, body = ask(server, "/", **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/none", "/engine", "/engine/", "/../a.wasm", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/a.wasm/"]
)
def test_nothing_else_can_be_asked_for(server: PageServer, path: str) -> None:
    status, headers, body = ask(server, path)
    assert (status, body) == (404, b"404 Not Found\n")
    assert HEADERS.items() <= headers.items()


def test_nothing_can_be_sent_to_it(server: PageServer) -> None:
    assert ask(server, "/", "POST")[0] == 501


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "127.0.0.1.evil.example:{port}"]
)
def test_a_foreign_name_for_this_machine_is_refused(server: PageServer, host: str) -> None:
    """A web site whose name is pointed at this machine must not read what is served here."""
    status, _, body = ask(server, "/", Host=host.format(port=server.server_port))
    assert status == 421
    assert b"<!doctype" not in body


def test_localhost_is_this_machine(server: PageServer) -> None:
    assert ask(server, "/", Host=f"localhost:{server.server_port}")[0] == 200


def test_a_taken_port_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EscError, match=f"port {port} can't be used: .*; choose another with --port"):
            PageServer({}, port)
