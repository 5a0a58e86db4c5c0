"""The page on a host that can only hand out files: threads all the same, no connection after a visit, and updates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esc_plugin.page.site import Part, Site, with_service_worker
from esc_plugin.page.write import write_site

from .conftest import PATIENCE, pretended_site, served
from .test_page import downloaded, pixels, png, put, repeated, state

Open = Callable[..., Any]


#: Before the service worker: its store fails from then on.
BREAKABLE = """
let broken = false;
const openAsEver = caches.open.bind(caches);
CacheStorage.prototype.open = (name) => broken ? Promise.reject(new Error("full")) : openAsEver(name);
addEventListener("message", ({ data }) => { broken ||= data === "break"; });
addEventListener("fetch", (event) => {
  if (event.request.url.endsWith("broken.txt")) event.respondWith(new Response(broken ? "yes" : "no"));
});
"""


class Plain(SimpleHTTPRequestHandler):
    """A host of static files: no headers of ours."""

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class Host:
    """A host whose files can be replaced, and which can be gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "site"
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_port}/site/"

    def write(self, site: Site) -> None:
        write_site(site, self.folder)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    found.write(pretended_site(offline=True))
    with served(found.server):
        yield found


def test_the_service_worker_brings_the_headers_of_threads(host: Host, open_page: Open) -> None:
    page = open_page(host.url)
    assert page.evaluate("crossOriginIsolated")
    assert page.inner_text("#offline-text") == "Works without a connection from now on."


def test_after_the_first_visit_no_connection_is_needed(host: Host, open_page: Open) -> None:
    page = open_page(host.url)
    page.context.set_offline(True)
    with pytest.raises(Exception, match=r"ERR_INTERNET_DISCONNECTED|Failed to fetch"):
        page.evaluate("fetch('nowhere.txt').then(String)")
    del open_page.wrong[:]  # type: ignore[attr-defined]  # the browser notes that failed request
    page.reload()
    page.wait_for_selector("body[data-ready]")
    put(page, png(pixels()))
    state(page, "done")
    np.testing.assert_array_equal(downloaded(page)[1], repeated(pixels(), 2))


def test_an_update_replaces_what_was_kept(host: Host, open_page: Open) -> None:
    page = open_page(host.url)
    site = pretended_site(offline=True)
    newer = site | {"strings.js": Part(site["strings.js"].read().replace(b"Drop a picture here", b"Something newer"))}
    host.write(with_service_worker(newer))
    shown, end = "", time.monotonic() + PATIENCE / 1000
    while shown != "Something newer" and time.monotonic() < end:
        page.reload()  # with each visit the browser looks for an update in the background, which takes over at a next one
        page.wait_for_selector("body[data-ready]")
        shown = page.inner_text("#drop h2")
        page.wait_for_timeout(500)
    assert shown == "Something newer"
    kept = page.evaluate(
        "caches.keys().then(([name]) => caches.open(name)).then((c) => c.keys()).then((k) => k.map((r) => r.url))"
    )
    assert len([url for url in kept if "strings.js" in url]) == 1


def test_a_file_that_came_damaged_isnt_kept(host: Host, open_page: Open) -> None:
    """Else one bad answer would stay for ever."""
    (host.folder / "licences.txt").write_text("something else")
    page = open_page(host.url)
    kept = page.evaluate(
        "caches.keys().then(([name]) => caches.open(name)).then((c) => c.keys()).then((k) => k.map((r) => r.url))"
    )
    assert not [url for url in kept if "licences.txt" in url]
    assert [url for url in kept if "app.js" in url]


def test_a_store_that_fails_leaves_the_page_as_the_host_has_it(host: Host, open_page: Open) -> None:
    """Such as one whose disk is full, or that the browser finds damaged."""
    worker = host.folder / "sw.js"
    worker.write_text(BREAKABLE + worker.read_text(encoding="utf-8"), encoding="utf-8")
    page = open_page(host.url)
    page.evaluate("navigator.serviceWorker.controller.postMessage('break')")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert page.evaluate("fetch('broken.txt').then((answer) => answer.text())") == "yes"
    put(page, png(pixels()))
    state(page, "done")


def test_served_by_us_it_leaves_no_service_worker_behind(pretended: str, open_page: Open) -> None:
    """It would answer for whatever is served at the same port later."""
    page = open_page(pretended)
    assert page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
    assert page.evaluate("crossOriginIsolated")
