"""ONNX Runtime Web: once, and only the very files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from esc_plugin import EscError
from esc_plugin.errors import HubError
from esc_plugin.page import runtime
from esc_plugin.page.runtime import PUBLIC, fetch_runtime

from ..hub_server import HubServer

CONTENT = {"a.mjs": b"export {}", "a.wasm": b"\0asm"}


@pytest.fixture(autouse=True)
def _package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Files in place of the real ones, an empty cache, and no setting."""
    monkeypatch.setattr(runtime, "FILES", {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()})
    monkeypatch.setenv("ESC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("ESC_RUNTIME_URL", raising=False)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A place on this machine that has the files."""
    server = HubServer()
    server.release |= CONTENT
    with server:
        monkeypatch.setenv("ESC_RUNTIME_URL", f"{server.url}/release")
        yield server


def test_it_is_downloaded_once_and_only_what_is_used(mirror: HubServer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    files = fetch_runtime(lambda done, total: told.append((done, total)))
    assert {name: path.read_bytes() for name, path in files.items()} == CONTENT
    assert told[-1][0] == told[-1][1]
    asked = len(mirror.requests)
    assert fetch_runtime() == files
    assert len(mirror.requests) == asked
    kept = {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    assert kept - {".lock"} == set(CONTENT)


def test_a_file_that_was_changed_is_fetched_again(mirror: HubServer) -> None:
    path = fetch_runtime()["a.mjs"]
    path.write_bytes(b"alert()")
    assert fetch_runtime()["a.mjs"].read_bytes() == CONTENT["a.mjs"]


def test_another_file_is_refused(mirror: HubServer, tmp_path: Path) -> None:
    mirror.release["a.mjs"] = b"alert()"
    with pytest.raises(HubError, match="is not the file that it should be") as error:
        fetch_runtime()
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".mjs", ".wasm")]


def test_a_file_that_never_ends_is_refused(mirror: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MAX_BYTES", 4)
    with pytest.raises(HubError, match="is larger than 4 bytes"):
        fetch_runtime()


def test_without_a_connection_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESC_RUNTIME_URL", "http://127.0.0.1:1/")
    with pytest.raises(
        HubError, match=r"can't reach .*try again with a connection, or put the files .*onnxruntime-web"
    ) as error:
        fetch_runtime()
    assert "\n" not in str(error.value)


def test_offline_nothing_is_asked(mirror: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="isn't on this machine, and offline use was asked for"):
        fetch_runtime()
    assert not mirror.requests


@pytest.mark.parametrize("url", ["http://other.example", "nonsense"])
def test_a_place_that_is_none_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESC_RUNTIME_URL", url)
    with pytest.raises(EscError, match=rf"ESC_RUNTIME_URL is set to '{url}', which is no valid address"):
        fetch_runtime()


def test_the_usual_place_is_an_address_of_https() -> None:
    assert PUBLIC.startswith("https://")
    assert runtime._source() == PUBLIC


def test_a_cache_that_cant_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ESC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(EscError, match="set ESC_CACHE_DIR"):
        fetch_runtime()
