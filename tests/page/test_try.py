"""The command ``esc-sr try``: it builds, serves and opens the page, or writes it."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from esc_plugin import Model
from esc_plugin.page.serve import PageServer

from ..commands import inside_the_test
from .conftest import about_models

Command = Callable[..., str]


@pytest.fixture
def esc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Return a function that runs ``esc-sr``, without the runtime's download and without exporting models."""

    def exported(models: list[Model], progress: Any) -> tuple[dict[str, Path], dict[str, Any]]:
        (tmp_path / "m.onnx").write_bytes(b"onnx")
        progress(1, 1)
        return {"m.onnx": tmp_path / "m.onnx"}, about_models(**{model.name: ("Photo", model.scale) for model in models})

    monkeypatch.setattr("esc_plugin.page.runtime.fetch_runtime", lambda progress: {})
    monkeypatch.setattr("esc_plugin.page.models.export_models", exported)
    return inside_the_test(monkeypatch, capsys)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was asked for. The server gets one request, and then Ctrl-C."""
    asked: list[str] = []

    def serve(server: PageServer) -> None:
        server.timeout = 60
        connection = HTTPConnection("127.0.0.1", server.server_port)
        connection.request("GET", "/models.json")
        server.handle_request()
        asked.append(json.loads(connection.getresponse().read())["default"])
        connection.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(PageServer, "serve_forever", serve)
    monkeypatch.setattr(webbrowser, "open", lambda url: asked.append(url) or True)
    return asked


def test_it_is_served_and_opened_until_ctrl_c(esc: Command, opened: list[str]) -> None:
    said = esc("try", "esc-nano-x2", "--port", "0")
    url, model = opened
    assert url.startswith("http://127.0.0.1:")
    assert model == "esc-nano-x2"
    assert said == f"{url}  (Ctrl-C ends it)\n"


def test_no_browser_is_opened_if_none_is_wanted_or_there(
    esc: Command, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    esc("try", "esc-nano-x2", "--no-open")
    assert opened == ["esc-nano-x2"]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert "note: no browser was found; open http://127.0.0.1:" in esc("try", "esc-nano-x2")


def test_a_port_that_is_taken_is_said_before_the_work(esc: Command, opened: list[str]) -> None:
    with PageServer({}) as taken:
        assert f"error: port {taken.server_port} can't be used" in esc("try", "--port", taken.server_port, code=1)
    assert not opened


def test_it_is_written_for_any_host(esc: Command, opened: list[str], tmp_path: Path) -> None:
    said = esc("try", "esc-nano-x2", "esc-nano-x4", "--write", tmp_path / "site")
    assert said.startswith(f"{tmp_path / 'site'}  ")
    assert not opened
    about = json.loads((tmp_path / "site" / "models.json").read_text())
    assert about["offline"] is True
    assert [model["name"] for model in about["models"]] == ["esc-nano-x2", "esc-nano-x4"]
    assert (tmp_path / "site" / "models" / "m.onnx").read_bytes() == b"onnx"
    assert "Cross-Origin-Embedder-Policy: require-corp" in (tmp_path / "site" / "_headers").read_text()
    assert '"app.js": "' in (tmp_path / "site" / "sw.js").read_text()
