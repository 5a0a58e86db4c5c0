"""ONNX Runtime Web: from the registry that npm is set to, once, and only the very package."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from esc_plugin import EscError
from esc_plugin.errors import HubError
from esc_plugin.page import runtime
from esc_plugin.page.runtime import NAME, PACKAGE, PUBLIC_REGISTRY, fetch_runtime, registry

from ..hub_server import HubServer

CONTENT = {"a.mjs": b"export {}", "a.wasm": b"\0asm"}


def packed(**members: bytes) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> bytes:
    """A package in place of the real one, an empty cache, and no settings of npm."""
    made = packed(**{f"package/dist/{name}": content for name, content in CONTENT.items()}, **{"../../evil": b"no"})
    digest = base64.b64encode(hashlib.sha512(made).digest()).decode()
    monkeypatch.setattr(runtime, "INTEGRITY", f"sha512-{digest}")
    monkeypatch.setattr(runtime, "FILES", {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()})
    monkeypatch.setenv("ESC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    monkeypatch.delenv("npm_config_registry", raising=False)
    return made


@pytest.fixture
def mirror(package: bytes, tmp_path: Path) -> Iterator[HubServer]:
    """A registry on this machine, which npm is set to."""
    server = HubServer()
    server.release[f"{PACKAGE}/-/{NAME}.tgz"] = package
    with server:
        (tmp_path / "npmrc").write_text(f"; a comment\nregistry = {server.url}/release\n//other/:_authToken=x\n")
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


def test_another_package_is_refused(mirror: HubServer, tmp_path: Path) -> None:
    mirror.release[f"{PACKAGE}/-/{NAME}.tgz"] = packed(**{"package/dist/a.mjs": b"other"})
    with pytest.raises(HubError, match="is not the package that it should be") as error:
        fetch_runtime()
    assert "\n" not in str(error.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".mjs", ".wasm", ".tgz")]


def test_a_package_that_never_ends_is_refused(mirror: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "MAX_BYTES", 10)
    with pytest.raises(HubError, match="is larger than 10 bytes"):
        fetch_runtime()


def test_without_a_connection_it_says_what_to_do(package: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1/")
    with pytest.raises(
        HubError, match=r"can't reach .*onnxruntime-web.*try again with a connection, or get it and unpack"
    ) as error:
        fetch_runtime()
    assert "\n" not in str(error.value)


def test_offline_nothing_is_asked(mirror: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="isn't on this machine, and offline use was asked for"):
        fetch_runtime()
    assert not mirror.requests


def test_npms_settings_are_respected(package: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert registry() == PUBLIC_REGISTRY
    (tmp_path / "npmrc").write_text('registry="https://mirror.example/npm"\n')
    assert registry() == "https://mirror.example/npm/"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://other.example")
    assert registry() == "https://other.example/"
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://other.example")
    with pytest.raises(EscError, match=r"'http://other\.example', which is no valid address that begins with https://"):
        registry()


def test_a_cache_that_cant_be_written_is_one_line(package: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ESC_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(EscError, match="set ESC_CACHE_DIR"):
        fetch_runtime()
