"""A real browser, and the page in it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from esc_plugin.errors import HubError
from esc_plugin.page.runtime import PACKAGE, VERSION, fetch_runtime
from esc_plugin.page.serve import PageServer
from esc_plugin.page.site import Part, Site, assemble, with_service_worker

from ..hub_server import HubServer

HERE = Path(__file__).parent
#: Names of Chromium on several systems.
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Milliseconds that anything on the page may take on a busy machine.
PATIENCE = 60_000


@contextmanager
def served(server: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def about_models(**models: tuple[str, int]) -> dict[str, Any]:
    """Return what the page is told of models: their titles and scales by name."""
    files = {form: {"url": f"models/{form}.onnx", "sha256": "", "bytes": 1} for form in ("regions", "whole")}
    network = {"window": 16, "unshuffle": 1, "reach": 112, "layers": 5, "channels": 16}
    listed = [
        {"name": name, "title": title, "scale": scale, "card": [f"{name} is for tests."], "sha256": "0", "version": "1"}
        | network
        | files
        for name, (title, scale) in models.items()
    ]
    return {"version": "1", "default": next(iter(models)), "offline": False, "models": listed}


def pretended_site(**options: Any) -> Site:
    """Return the page with a worker in which no network runs."""
    models = {"photo-x2": ("Photo", 2), "photo-x4": ("Photo", 4), "cells-x2": ("Cells", 2), "damaged-x3": ("Damaged", 3)}
    site = assemble({}, {}, about_models(**models) | options)
    worker = {"engine/worker.js": Part((HERE / "pretended_worker.js").read_bytes())}
    known = {name: part for name, part in site.items() if not name.startswith("engine/")}
    return with_service_worker(known | worker)


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A Chromium without a window. Its driver keeps an event loop running, which other tests must not find."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright, and a Chromium")
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("needs a Chromium among the programs, such as that of the system's package chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a page in a context of its own; what goes wrong in it, or leaves its origin, fails."""
    contexts, wrong = [], list[str]()

    def opened(url: str, *, script: str = "", **options: Any) -> Any:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        context.on("request", lambda request: None if request.url.startswith((url, "blob:")) else wrong.append(request.url))
        page.goto(url)
        page.wait_for_selector("body[data-ready], #problem:not([hidden])")
        return page

    opened.wrong = wrong  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="session")
def pretended() -> Iterator[str]:
    """The address of the page with a worker in which no network runs."""
    with served(PageServer(pretended_site())) as server:
        yield server.url


@pytest.fixture(scope="session")
def runtime_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The runtime. If it isn't in the user's cache, npm fetches it and we take it from there."""
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(HubError):
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        return fetch_runtime()
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm, or ONNX Runtime Web in the cache, where `esc-sr try` puts it")
    folder = tmp_path_factory.mktemp("npm")
    command = [npm, "install", "--silent", "--ignore-scripts", "--prefix", str(folder), f"{PACKAGE}@{VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        pytest.skip(f"npm can't fetch ONNX Runtime Web: {done.stderr.strip()[:200]}")
    server = HubServer()
    server.release |= {path.name: path.read_bytes() for path in (folder / "node_modules" / PACKAGE / "dist").iterdir()}
    with server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ESC_RUNTIME_URL", f"{server.url}/release")
        return fetch_runtime()
