"""Models from the Hub and from release pages, by the real clients from a real server on 127.0.0.1."""

import errno
import gc
import gzip
import hashlib
import inspect
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.utils import get_session
from safetensors.torch import save

from esc_plugin import workplace
from esc_plugin.catalog import hub_progress
from esc_plugin.catalog.fetch import fetch
from esc_plugin.catalog.hub_names import parse_source
from esc_plugin.catalog.load import load_model
from esc_plugin.catalog.manifest import CatalogEntry
from esc_plugin.catalog.menu import find_model, list_models
from esc_plugin.catalog.record import RECORD, keep, read_record
from esc_plugin.catalog.verify import verify
from esc_plugin.errors import Cancelled, CheckpointError, HubError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.texts import quoted

from .confined import run_confined
from .hub_server import HubServer

#: Imported before a test changes the client's settings, which they may copy.
CLIENT = (HfApi, hf_hub_download, snapshot_download)
SMALL = {"dim": 8, "pdim": 4, "kernel_size": 3, "n_blocks": 1, "conv_blocks": 1, "window_size": 4, "num_heads": 2}
TINY = EscConfig(**SMALL, proj_hidden=16, conv_hidden=10)
RIB = EscConfig(
    **SMALL, proj_hidden=32, conv_hidden=10, position="rib", position_rank=2, rib_hidden=4, rib_freqs=1, last_norm=True
)


def weights(seed, config=TINY):
    torch.manual_seed(seed)
    return {name: value.clone() for name, value in ESC(config).state_dict().items()}


def pth(seed, folder):
    torch.save({"params_ema": weights(seed)}, folder / "made.pth")
    return (folder / "made.pth").read_bytes()


A, B = save(weights(1)), save(weights(2))


def is_model(model, seed):
    return torch.equal(model.network.proj.weight, weights(seed)["proj.weight"])


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Start a server, and point the Hub's client and the models folder to this test's own places."""
    with HubServer() as running:
        point_to(running.url, monkeypatch, tmp_path)
        yield running


def point_to(url, monkeypatch, tmp_path):
    settings = {
        "ENDPOINT": url,
        "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
    }
    # Older clients copy these constants into other modules.
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "huggingface_hub"]
    for module in modules:
        for name, value in settings.items():
            if name in vars(module):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


@contextmanager
def one_sentence(*parts, error=HubError):
    with pytest.raises(error) as info:
        yield
    text = str(info.value)
    assert "\n" not in text
    assert text.endswith(".")
    for part in parts:
        assert part in text


def files_asked(server):
    return [path for method, path, _ in server.requests if method == "GET" and not path.startswith("/api")]


# ------------------------------------------------------------------ the Hub


def test_download_with_progress_then_from_the_cache(server):
    commit = server.repo("org/repo", {"README.md": b"hi", "esc.safetensors": A})
    calls = []
    model = load_model("org/repo", progress=lambda done, total: calls.append((done, total)))
    assert is_model(model, 1)
    assert model.source == f"org/repo/esc.safetensors@{commit}"
    assert model.name == "esc"
    assert model.sha256 == hashlib.sha256(A).hexdigest()
    assert calls[-1] == (len(A), len(A))
    assert calls == sorted(calls)
    before = files_asked(server)
    assert is_model(load_model("org/repo"), 1)
    assert files_asked(server) == before  # asked whether it changed, not for its content


def test_second_load_without_network(server):
    server.repo("org/repo", {"esc.safetensors": A})
    load_model("org/repo")
    server.requests.clear()
    assert is_model(load_model("org/repo", offline=True), 1)
    assert is_model(load_model("org/repo/esc.safetensors", offline=True), 1)
    assert server.requests == []
    server.stop()
    assert is_model(load_model("org/repo"), 1)  # nobody answers
    assert is_model(load_model("org/repo/esc.safetensors"), 1)


def test_a_hub_in_trouble_leaves_the_cache(server):
    server.repo("org/repo", {"esc.safetensors": A})
    load_model("org/repo")
    server.status = 500
    assert is_model(load_model("org/repo"), 1)


def test_pinned_revision(server):
    first = server.repo("org/repo", {"esc.safetensors": A})
    server.repos["org/repo"].commit({"esc.safetensors": B})
    server.repos["org/repo"].refs["v1"] = first
    assert is_model(load_model("org/repo"), 2)
    assert is_model(load_model("org/repo", revision="v1"), 1)
    assert is_model(load_model("org/repo@v1"), 1)
    again = load_model(load_model("org/repo/esc.safetensors@v1").source)
    assert again.source == f"org/repo/esc.safetensors@{first}"
    assert is_model(load_model("org/repo", revision=first), 1)
    server.requests.clear()
    model = load_model("org/repo", revision=first)
    assert model.source.endswith("@" + first)
    assert server.requests == []  # a commit never changes
    assert is_model(load_model("org/repo", revision="v1", offline=True), 1)


def test_a_new_version_is_taken(server):
    server.repo("org/repo", {"esc.safetensors": A})
    assert is_model(load_model("org/repo"), 1)
    server.repos["org/repo"].commit({"esc.safetensors": B})
    assert is_model(load_model("org/repo"), 2)


def test_a_broken_connection_is_resumed(server, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # the client resumes at whole chunks, of 10 MB by default
    server.repo("org/repo", {"esc.safetensors": A})
    server.break_after = [len(A) // 3]
    assert is_model(load_model("org/repo"), 1)
    ranges = [asked for method, path, asked in server.requests if method == "GET" and path.startswith("/cdn")]
    assert ranges[0] == ""
    assert ranges[1] == f"bytes={len(A) // 3 // 1000 * 1000}-"


def test_a_connection_that_stays_broken(server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between its attempts
    server.repo("org/repo", {"esc.safetensors": A})
    server.break_after = [len(A) // 3] + [0] * 20
    with one_sentence("broke", "try again", server.url):
        load_model("org/repo/esc.safetensors")
    assert not [p for p in Path(constants.HF_HUB_CACHE).rglob("*.safetensors") if p.exists()]
    server.break_after = []
    assert is_model(load_model("org/repo/esc.safetensors"), 1)


def test_a_file_that_was_damaged_on_the_way_is_not_used(server):
    """The client compares sizes only; a large file lies in its cache under the hash that the Hub stated."""
    server.repo("org/repo", {"esc.safetensors": A})
    load_model("org/repo")
    blob = next(path for path in Path(constants.HF_HUB_CACHE).rglob("blobs/*") if path.stat().st_size == len(A))
    damaged = bytearray(A)
    damaged[-1] ^= 1
    blob.write_bytes(damaged)
    with one_sentence("not the file that it should be", "Delete", error=HubError):
        load_model("org/repo", offline=True)
    assert is_model(load_model("org/repo"), 1)
    assert blob.read_bytes() == A
    server.blobs, server.repos["org/repo"].commits = {}, {}
    assert is_model(load_model("org/repo", offline=True), 1)


def test_a_hub_that_wants_to_be_asked_again_next_year(server, monkeypatch):
    """The client would wait as long as it is told to."""
    if int(huggingface_hub.__version__.partition(".")[0]) < 2:
        pytest.skip("older clients don't heed it")
    server.repo("org/repo", {"esc.safetensors": A})
    server.bend = lambda status, headers: (
        (429, {"Retry-After": "31536000"}) if "Accept-Ranges" in headers else (status, headers)
    )
    monkeypatch.setattr("esc_plugin.catalog.hub.LONGEST_S", 1)
    with one_sentence("so slow", "try again", server.url):
        load_model("org/repo/esc.safetensors")
    stopped = time.monotonic() + 0.3
    monkeypatch.setattr("esc_plugin.catalog.hub.LONGEST_S", 60)
    with pytest.raises(Cancelled):
        load_model("org/repo/esc.safetensors", cancel=lambda: time.monotonic() > stopped)


def test_cancel(server, monkeypatch):
    server.repo("org/repo", {"esc.safetensors": A})
    with pytest.raises(Cancelled):
        load_model("org/repo", cancel=lambda: True)
    assert not [path for path in files_asked(server) if path.startswith("/cdn")]
    if "tqdm_class" in inspect.signature(hf_hub_download).parameters:
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
        seen = []
        with pytest.raises(Cancelled):
            load_model("org/repo", progress=lambda *call: seen.append(call), cancel=lambda: len(seen) > 2)
        assert seen[-1][0] < len(A)
    assert is_model(load_model("org/repo", cancel=lambda: False), 1)


def test_renamed_repository(server):
    server.repo("new/name", {"esc.safetensors": A})
    server.renamed["old/name"] = "new/name"
    assert is_model(load_model("old/name"), 1)


def test_private_repository_by_token(server, monkeypatch):
    server.repo("org/private", {"esc.safetensors": A}, token="hf_secret")
    with one_sentence("'org/private'", "HF_TOKEN", "hf auth login"):
        load_model("org/private")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert is_model(load_model("org/private"), 1)


def test_gated_repository(server):
    server.repo("org/gated", {"esc.safetensors": A}, gated=True)
    for source in ("org/gated", "org/gated/esc.safetensors"):
        with one_sentence("gated", f"{server.url}/org/gated", "hf auth login"):
            load_model(source)


def test_what_is_not_there(server):
    commit = server.repo("org/repo", {"esc.safetensors": A, "other.txt": b""})
    server.repo("org/text", {"README.md": b""})
    with one_sentence("no repository 'org/none'", "check the name"):
        load_model("org/none")
    with one_sentence("no repository 'org/none'", "check the name"):
        load_model("org/none/esc.safetensors")
    with one_sentence("no file 'x.safetensors'", f"{server.url}/org/repo/tree/main"):
        load_model("org/repo/x.safetensors")
    for source in ("org/repo", "org/repo/esc.safetensors"):
        with one_sentence("no revision 'v9'", f"{server.url}/org/repo/commits/main"):
            load_model(source, revision="v9")
    with one_sentence("no revision"):
        load_model("org/repo", revision=commit[::-1])
    with one_sentence("'org/text' has no weights file", "among its 1 files"):
        load_model("org/text")


def test_a_list_of_what_are_no_names(server):
    server.repo("org/repo", {"esc.safetensors": A})
    names = [None, 3, {"a": 1}, "esc.safetensors"]
    server.bend_json = lambda value: json.dumps(value | {"siblings": [{"rfilename": name} for name in names]}).encode()
    assert is_model(load_model("org/repo"), 1)
    names += ["a\n\x1b[2J.safetensors"]
    with one_sentence("'org/repo' has 2 weights files", r"a\n\x1b[2J.safetensors"):
        load_model("org/repo")


def test_an_address_of_the_hub(server):
    first = server.repo("org/repo", {"esc.safetensors": A})
    server.repos["org/repo"].commit({"esc.safetensors": B})
    assert is_model(load_model(f"{server.url}/org/repo"), 2)
    assert is_model(load_model(f"{server.url}/org/repo/blob/{first}/esc.safetensors"), 1)
    for other in ("https://[::1/org/repo", "https://example.org/org/repo"):
        with one_sentence(repr(other), "is an address"):
            load_model(other)


def test_what_is_too_large_for_a_model_is_not_downloaded(server, monkeypatch):
    if "tqdm_class" not in inspect.signature(hf_hub_download).parameters:
        pytest.skip("this client can't be stopped")
    server.repo("org/repo", {"esc.safetensors": A})
    monkeypatch.setattr(hub_progress, "MAX_BYTES", len(A) - 1)
    for options in ({}, {"cancel": lambda: False}):
        with one_sentence("'org/repo/esc.safetensors' is larger than"):
            load_model("org/repo", **options)
    monkeypatch.setattr(hub_progress, "MAX_BYTES", len(A))
    assert is_model(load_model("org/repo"), 1)


def test_impossible_names(server):
    with one_sentence("'org/-repo'", "org/repo"):
        load_model("org/-repo")


@pytest.mark.parametrize(
    ("status", "part"), [(403, "log in"), (429, "too many requests"), (500, "500"), (503, "503"), (418, "418")]
)
def test_answers_that_are_no_file(server, monkeypatch, status, part):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    server.status = status
    for source in ("org/repo", "org/repo/esc.safetensors"):
        with one_sentence(part):
            load_model(source)


def test_no_network_and_no_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with HubServer() as closed:
        pass
    point_to(closed.url, monkeypatch, tmp_path)
    by_hand = f"get {closed.url}/org/repo/tree/main by hand."
    for source in ("org/repo", "org/repo/esc.safetensors"):
        with one_sentence("check the connection", by_hand):
            load_model(source)
        with one_sentence("not in the cache", "offline", "load it once with a connection", by_hand):
            load_model(source, offline=True)


@pytest.mark.parametrize(
    ("code", "part"), [(errno.ENOSPC, "is full; make room"), (errno.EACCES, "can't write to the cache")]
)
def test_a_cache_that_takes_nothing(server, monkeypatch, code, part):
    server.repo("org/repo", {"esc.safetensors": A})

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)
    with one_sentence(part, "HF_HOME"):
        load_model("org/repo")


def test_safetensors_before_pth(server, tmp_path):
    server.repo("org/both", {"esc.pth": pth(2, tmp_path), "esc.safetensors": A, "config.json": b"{}"})
    server.repo("org/pth", {"esc.pth": pth(2, tmp_path)})
    assert is_model(load_model("org/both"), 1)
    assert is_model(load_model("org/both/esc.pth"), 2)
    assert is_model(load_model("org/pth"), 2)


def test_several_weights_files(server):
    server.repo("org/many", {"x2.safetensors": A, "deep/x4.safetensors": B})
    with one_sentence("2 weights files", "org/many/x2.safetensors", "org/many/deep/x4.safetensors"):
        load_model("org/many")
    assert is_model(load_model("org/many/deep/x4.safetensors"), 2)
    server.repo("org/main", {"model.safetensors": A, "old.safetensors": B})
    assert is_model(load_model("org/main"), 1)


def test_nothing_from_a_repository_runs(server, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"params": weights(1), "x": Evil()}, tmp_path / "evil.pth")
    server.repo("org/evil", {"evil.pth": (tmp_path / "evil.pth").read_bytes()})
    with one_sentence("nothing in a file is executed", error=CheckpointError):
        load_model("org/evil")
    assert not (tmp_path / "ran").exists()


def test_config_is_believed_only_where_the_file_is_silent(server):
    lie = json.dumps({"window_size": 8, "dim": 64, "scale": 4}).encode()
    server.repo("org/esc", {"esc.safetensors": A, "config.json": lie})
    assert load_model("org/esc").config == TINY
    server.repo("org/rib", {"rib.safetensors": save(weights(3, RIB)), "config.json": lie})
    assert load_model("org/rib").config.window_size == 8
    assert load_model("org/rib/rib.safetensors", offline=True).config.window_size == 8
    assert load_model("org/rib", window_size=16).config.window_size == 16
    for content in (b"", b"[]", b"nonsense", b'{"window_size": "8"}', b'{"window_size": -8}'):
        server.repos["org/rib"].commit({"rib.safetensors": save(weights(3, RIB)), "config.json": content})
        assert load_model("org/rib").config.window_size == 64


def test_environment_variables_are_the_clients(server, tmp_path):
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, in a process of its own that reads them at its start."""
    server.repo("org/repo", {"esc.safetensors": A})
    program = textwrap.dedent(
        """
        import sys
        from esc_plugin.errors import HubError
        from esc_plugin.catalog import hub
        from esc_plugin.disk import file_sha256
        try:
            print(file_sha256(hub.download("org/repo")[0]))
        except HubError as error:
            print(error)
        assert "torch" not in sys.modules
        """
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    env |= {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[1])}

    def run(**more):
        return subprocess.run(
            [sys.executable, "-c", program], env=env | more, capture_output=True, text=True, check=True
        ).stdout

    assert run(HF_HOME=str(tmp_path / "other"), HF_HUB_OFFLINE="1").startswith("'org/repo' is not in the cache")
    assert server.requests == []
    assert run().strip() == hashlib.sha256(A).hexdigest()
    assert list((tmp_path / "home").rglob("*.safetensors"))
    server.requests.clear()
    assert run(HF_HUB_OFFLINE="1").strip() == hashlib.sha256(A).hexdigest()
    assert server.requests == []


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("org/repo", ("org/repo", "", None)),
        ("hf://org/repo", ("org/repo", "", None)),
        ("org/repo@v1", ("org/repo", "", "v1")),
        ("org/repo/a.safetensors", ("org/repo", "a.safetensors", None)),
        ("org/repo/deep/a.pth@refs/pr/1", ("org/repo", "deep/a.pth", "refs/pr/1")),
        ("models/a.pth", None),
        ("https://huggingface.co/org/repo", ("org/repo", "", None)),
        ("HTTPS://huggingface.co/org/repo/", ("org/repo", "", None)),
        ("https://hf.co/org/repo/tree/main", ("org/repo", "", "main")),
        ("https://huggingface.co/org/repo/blob/v1/deep/a.pth", ("org/repo", "deep/a.pth", "v1")),
        ("https://huggingface.co/org/repo/resolve/refs%2Fpr%2F1/a.pth?download=true", ("org/repo", "a.pth", "refs/pr/1")),
        (" https://www.huggingface.co/org/repo/raw/main/a.pth#top ", ("org/repo", "a.pth", "main")),
        ("hf.co/org/repo", ("org/repo", "", None)),
        ("huggingface.co/org/repo/blob/main/a.safetensors", ("org/repo", "a.safetensors", "main")),
        ("huggingface.co/org", None),
        ("org/repo/", ("org/repo", "", None)),
        ("org/my.repo", ("org/my.repo", "", None)),
        ("my.org/repo", ("my.org/repo", "", None)),
        ("https://huggingface.co/org/repo/blob/main/README.md", None),
        ("https://huggingface.co/datasets/org/repo", None),
        ("https://huggingface.co/org", None),
        ("https://example.org/org/repo", None),
        ("https://[::1/org/repo", None),
        ("org/repo/README.md", None),
        ("./org/repo", None),
        ("../repo", None),
        ("/org/repo/a.pth", None),
        ("~/repo/a.pth", None),
        ("C:\\org\\a.pth", None),
        ("name", None),
        ("", None),
    ],
)
def test_what_names_a_repository(source, parts):
    assert parse_source(source) == parts


@pytest.mark.parametrize("endpoint", ["https://mirror.example", "https://mirror.example/hub/"])
def test_pages_of_a_mirror_name_its_files(endpoint, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    page = f"{endpoint.rstrip('/')}/org/repo/resolve/v1/a.pth"
    for address in (page, page.removeprefix("https://"), "https://huggingface.co/org/repo/blob/v1/a.pth"):
        assert parse_source(address) == ("org/repo", "a.pth", "v1")
    assert parse_source("https://other.example/org/repo") is None


# ------------------------------------------------------------------ the catalogue's downloads


@pytest.fixture
def offer(server, monkeypatch, tmp_path):
    """Offer models of the test's server through the user's manifest."""
    (tmp_path / "models").mkdir()

    def add(**fields):
        entry = {"name": "mine", "scale": 2, "purpose": "clean photo"} | fields
        (tmp_path / "models/manifest.yaml").write_text(json.dumps({"models": [entry]}))
        return find_model("mine")

    return add


def test_download_records_and_checks_the_hash_ever_after(server, offer, tmp_path, caplog):
    server.release["tiny.pth"] = content = pth(1, tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    offer(url=f"{server.url}/release/tiny.pth", license="MIT", training="none", figures={"Set5": "30.5/.9"})
    calls = []
    model = load_model("mine", progress=lambda *call: calls.append(call))
    assert is_model(model, 1)
    assert calls[-1] == (len(content), len(content))
    assert digest in caplog.text  # shown
    assert model.card["figures"] == {"Set5": 30.5}
    assert model.card["ssim"] == {"Set5": 0.9}
    assert model.card["license"] == "MIT"
    assert model.card["source_sha256"] == digest
    folder = tmp_path / "models"
    assert sorted(p.name for p in folder.iterdir() if p.name[0] != ".") == [RECORD, "manifest.yaml", "tiny.safetensors"]
    assert read_record(folder)["tiny.safetensors"]["source_sha256"] == digest
    server.requests.clear()
    assert is_model(load_model("mine"), 1)
    assert is_model(load_model("tiny"), 1)
    assert is_model(load_model(folder / "tiny.safetensors"), 1)
    assert server.requests == []

    # The kept file changes: that is found on every way to load it, and by `verify`.
    raw = bytearray((folder / "tiny.safetensors").read_bytes())
    raw[-1] ^= 1
    (folder / "tiny.safetensors").write_bytes(raw)
    for source in ("mine", folder / "tiny.safetensors"):
        with one_sentence("tiny.safetensors", "Delete it", error=CheckpointError):
            load_model(source)
    assert {row["name"]: row["status"] for row in verify()}["mine"] == "mismatch"

    # The download changes: the hash of the first one is still known.
    (folder / "tiny.safetensors").unlink()
    server.release["tiny.pth"] = pth(2, tmp_path)
    with one_sentence(digest, "It was not kept", error=CheckpointError):
        load_model("mine")
    assert {row["name"]: row["status"] for row in verify()}["mine"] == "absent"
    server.release["tiny.pth"] = content
    assert is_model(load_model("mine"), 1)
    assert {row["name"]: row["status"] for row in verify()}["mine"] == "ok"


def test_two_downloads_at_once_keep_one_file_with_its_record(tmp_path):
    for number in range(2):  # as a weights file has its metadata in an order by chance
        (tmp_path / f"made-{number}").write_bytes(bytes([number]))
    target = tmp_path / "mine.safetensors"
    first, second = (keep(tmp_path / f"made-{number}", target, url="u", source_sha256="1" * 64) for number in range(2))
    assert first == second == hashlib.sha256(bytes([0])).hexdigest() == read_record(tmp_path)[target.name]["sha256"]
    assert target.read_bytes() == bytes([0])
    other = keep(tmp_path / "made-1", target, url="u", source_sha256="2" * 64)
    assert other == hashlib.sha256(target.read_bytes()).hexdigest() == read_record(tmp_path)[target.name]["sha256"]


def test_no_download_is_kept_without_its_record(tmp_path, monkeypatch):
    (tmp_path / "made").write_bytes(b"weights")
    target = tmp_path / "mine.safetensors"
    monkeypatch.setattr("esc_plugin.catalog.record.write_text", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        keep(tmp_path / "made", target, url="u")
    assert not target.exists()
    monkeypatch.undo()
    keep(tmp_path / "made", target, url="u")
    assert read_record(tmp_path)[target.name]["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()


def test_wrong_sha256(server, offer, tmp_path):
    server.release["tiny.pth"] = pth(1, tmp_path)
    offer(url=f"{server.url}/release/tiny.pth", sha256="0" * 64)
    with one_sentence("0" * 64, "tiny.pth", "don't use it", error=HubError):
        load_model("mine")
    assert not list((tmp_path / "models").rglob("tiny.*"))
    server.repo("org/repo", {"esc.safetensors": A})
    offer(hub="org/repo", file="esc.safetensors", sha256="1" * 64)
    for load in (lambda: load_model("mine"), lambda: fetch(find_model("mine"), tmp_path / "host")):
        with one_sentence(
            "1" * 64, "esc.safetensors", f"Delete '{constants.HF_HUB_CACHE}", "models--org--repo'", error=HubError
        ):
            load()
    assert not (tmp_path / "host/esc.safetensors").exists()


def test_a_hub_entry(server, offer, tmp_path):
    first = server.repo("org/repo", {"esc.safetensors": A})
    server.repos["org/repo"].commit({"esc.safetensors": B})
    entry = offer(hub="org/repo", file="esc.safetensors", revision=first, sha256=hashlib.sha256(A).hexdigest())
    assert {row["name"]: row["status"] for row in verify()}["mine"] == "absent"
    assert is_model(load_model("mine"), 1)
    assert {row["name"]: row["status"] for row in verify()}["mine"] == "ok"
    assert is_model(load_model("mine", offline=True), 1)
    assert is_model(load_model("mine", revision="main"), 2)
    path = fetch(entry, tmp_path / "host")
    assert path == tmp_path / "host/esc.safetensors"
    assert path.read_bytes() == A
    # The catalogue pins another file: what was right before is wrong now.
    entry = offer(hub="org/repo", file="esc.safetensors", sha256=hashlib.sha256(B).hexdigest())
    with one_sentence(hashlib.sha256(B).hexdigest(), error=CheckpointError):
        fetch(entry, tmp_path / "host")


def test_files_of_the_same_name_from_different_repositories(server, tmp_path):
    server.repo("org/one", {"model.safetensors": A})
    server.repo("org/two", {"model.safetensors": B})
    one, two = (CatalogEntry(name, 2, "clean photo", hub=f"org/{name}", file="model.safetensors") for name in ("one", "two"))
    for _ in range(2):
        assert fetch(one, tmp_path / "host").read_bytes() == A
        assert fetch(two, tmp_path / "host").read_bytes() == B
    assert fetch(one, tmp_path / "host").name == "model.safetensors"
    assert fetch(two, tmp_path / "host").name == "org--two--model.safetensors"


def test_into_a_folder_of_the_hosts(server, offer, tmp_path):
    server.release["tiny.pth"] = pth(1, tmp_path)
    entry = offer(url=f"{server.url}/release/tiny.pth")
    path = fetch(entry, tmp_path / "host/upscale_models")
    assert path == tmp_path / "host/upscale_models/tiny.safetensors"
    assert is_model(load_model(path), 1)
    server.requests.clear()
    assert fetch(entry, tmp_path / "host/upscale_models", offline=True) == path
    assert server.requests == []


@pytest.mark.parametrize("name", ["ESC_Real_X4_GAN.pth", "renamed.pth"])
def test_a_file_in_the_folder_takes_the_place_of_a_download(server, offer, tmp_path, name):
    content = pth(1, tmp_path)
    entry = offer(
        url=f"{server.url}/release/{{file}}", file="ESC_Real_X4_GAN.pth", sha256=hashlib.sha256(content).hexdigest()
    )
    (tmp_path / "models" / name).write_bytes(content)
    assert is_model(load_model("mine"), 1)
    assert fetch(entry) == tmp_path / "models" / name
    assert server.requests == []
    assert {row["name"]: row["status"] for row in verify()}["mine"] == "ok"


def test_the_right_name_with_the_wrong_content(server, offer, tmp_path):
    offer(url=f"{server.url}/release/tiny.pth", sha256="2" * 64)
    (tmp_path / "models/tiny.pth").write_bytes(pth(1, tmp_path))
    for load in (load_model, lambda name: fetch(find_model(name))):
        with one_sentence("tiny.pth", "2" * 64, "Delete it", error=CheckpointError):
            load("mine")


def test_a_known_hash_brings_the_card_to_any_path(server, offer, tmp_path):
    content = pth(1, tmp_path)
    offer(url=f"{server.url}/release/x.pth", license="MIT", sha256=hashlib.sha256(content).hexdigest())
    assert load_model(tmp_path / "made.pth").card["license"] == "MIT"


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".yaml", ".lock"))


def test_download_failures(server, offer, tmp_path):
    url = f"{server.url}/release/none.pth"
    entry = offer(url=url, confirmed=False)
    with one_sentence("404", "only implied", repr(url), "none.pth", str(tmp_path / "models")):
        fetch(entry)
    entry = offer(url=url)
    with one_sentence("404", repr(url), "by hand"):
        fetch(entry)
    with one_sentence("offline", url, str(tmp_path / "models")):
        fetch(entry, offline=True)
    server.release["none.pth"] = pth(1, tmp_path)
    server.break_after = [100]
    with one_sentence("broke", repr(url), "Try again"):
        fetch(entry)
    with pytest.raises(Cancelled):
        fetch(entry, cancel=lambda: True)
    server.status = 503
    with one_sentence("503", repr(url), "Try again later"):
        fetch(entry)
    server.stop()
    with one_sentence("can't reach", repr(url), "by hand"):
        fetch(entry)
    assert left_in(tmp_path / "models") == []  # nothing half done is left


def test_a_download_that_does_not_open_is_not_noted(server, offer, tmp_path, caplog):
    server.release["page.pth"] = b"<html>not a model</html>"
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    server.release["other.pth"] = (tmp_path / "other.pth").read_bytes()
    for name, part in (("page.pth", "web page"), ("other.pth", "no ESC network")):
        url = f"{server.url}/release/{name}"
        with one_sentence(part, repr(url), error=CheckpointError):
            fetch(offer(url=url))
    assert "noted" not in caplog.text
    assert left_in(tmp_path / "models") == []


# ------------------------------------------------------------------ servers that mean no good


def leading_to(location):
    return lambda handler: handler.redirect(location)


def ends_where_the_server_hangs_up(headers, blocks, status=200, location=""):
    def answer(handler):
        handler.close_connection = True
        handler.begin(status, headers | ({"Location": location} if location else {}))
        for block in blocks:
            handler.wfile.write(block)

    return answer


def chunks(blocks):
    return (b"%x\r\n%s\r\n" % (len(block), block) for block in blocks)


def forever(block):
    while True:
        yield block


ZIPPED = gzip.compress(bytes(10**7))
CHUNKED = {"Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    "location",
    [
        "http://example.invalid/x",
        "HTTP://example.invalid/x",
        "//example.invalid/x",
        "https://[::1",
        "https://[x]/",
        "https://example.invalid:port/",
        "https://",
        "ftp://example.invalid/x",
        "file:///etc/passwd",
        "http://127.0.0.1.example.invalid/x",
        "http://127.0.0.1@example.invalid/x",
        "http://example.invalid\\@127.0.0.1/x",
        "https://example.invalid:99999/\x1b[2J",
    ],
)
def test_only_valid_addresses_of_https_are_followed(server, offer, location, tmp_path):
    server.raw["x.pth"] = leading_to(location)
    with one_sentence(f"{server.url}/raw/x.pth", location[:10].rstrip("/"), "not HTTPS or no valid address"):
        fetch(offer(url=f"{server.url}/raw/x.pth"))
    assert left_in(tmp_path / "models") == []


@pytest.fixture
def names_asked(monkeypatch):
    """Which other machines were asked for by name."""
    asked, find = [], socket.getaddrinfo

    def noted(host, *args, **options):
        if host != "127.0.0.1":
            asked.append(host)
            raise OSError("there is no network here")
        return find(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    return asked


@pytest.mark.parametrize("cdn", ["http://example.invalid", "HTTP://example.invalid"])
def test_a_hub_that_leads_to_plain_http(server, names_asked, cdn):
    """The client would follow, and take what anybody on the way put there."""
    server.repo("org/repo", {"esc.safetensors": A})
    server.cdn = cdn
    with one_sentence(server.url, "http://example.invalid/cdn/", "not HTTPS"):
        load_model("org/repo")
    assert names_asked == []


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag", "X-Repo-Commit"])
@pytest.mark.parametrize("name", ["{}/taken", '"{}/taken"', 'W/"{}/taken"', "../../../taken", "..", "C:taken", "a\\b"])
def test_a_hub_that_would_write_out_of_the_cache(server, tmp_path, header, name):
    """The client calls files of its cache as answers say: by an absolute path anything of the user's could be replaced."""
    outside = tmp_path / "outside"
    outside.mkdir()
    server.repo("org/repo", {"esc.safetensors": A})
    server.bend = lambda status, headers: (
        (status, headers | {header: name.format(outside)}) if "X-Repo-Commit" in headers else (status, headers)
    )
    with one_sentence("calls a file", header, server.url):
        load_model("org/repo/esc.safetensors")
    assert not list(outside.iterdir())
    server.bend = None
    assert is_model(load_model("org/repo/esc.safetensors"), 1)


def test_a_mirror_may_name_versions_as_it_likes(server):
    server.repo("org/repo", {"esc.safetensors": A})
    server.bend = lambda status, headers: (status, headers | {"ETag": 'W/"6a-1.b:0"', "X-Linked-Etag": ""})
    assert is_model(load_model("org/repo/esc.safetensors"), 1)


def test_a_hub_that_leads_elsewhere_by_https_and_a_mirror_of_ones_own(server, names_asked, monkeypatch, tmp_path):
    server.repo("org/repo", {"esc.safetensors": A})
    server.cdn = "https://example.invalid"
    with one_sentence("broke"):
        load_model("org/repo")
    assert set(names_asked) == {"example.invalid"}
    point_to("http://mirror.invalid", monkeypatch, tmp_path)
    with one_sentence("http://mirror.invalid can't be reached"):
        load_model("org/repo")
    assert "mirror.invalid" in names_asked


def test_others_use_the_client_as_they_please(server, names_asked):
    server.repo("org/repo", {"esc.safetensors": A})
    assert is_model(load_model("org/repo"), 1)
    with pytest.raises(Exception, match="no network"):
        get_session().get("http://example.invalid/x")
    assert names_asked == ["example.invalid"]


def test_addresses_that_only_look_valid(server, offer):
    for location in ("https://..invalid/x", f"https://{'a' * 70}.invalid/x", "https://\xff.invalid/x"):
        server.raw["x.pth"] = leading_to(location)
        with one_sentence(quoted(location)):
            fetch(offer(url=f"{server.url}/raw/x.pth"))


def test_redirections_that_are_fine(server, offer, tmp_path):
    server.release["tiny.pth"] = pth(1, tmp_path)
    server.raw["x.pth"] = leading_to(f"{server.cdn.replace('http', 'HTTP')}/raw/y.pth")
    server.raw["y.pth"] = leading_to("/release/tiny.pth")
    assert is_model(load_model(fetch(offer(url=f"{server.url}/raw/x.pth"))), 1)


def test_what_comes_with_a_redirection_is_not_read(server, offer, tmp_path):
    server.release["tiny.pth"] = pth(1, tmp_path)
    server.raw["x.pth"] = ends_where_the_server_hangs_up({}, forever(bytes(1000)), 302, "/release/tiny.pth")
    assert is_model(load_model(fetch(offer(url=f"{server.url}/raw/x.pth"))), 1)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the client, where it refuses the headers
def test_two_sizes(server, offer):
    server.raw["x.pth"] = ends_where_the_server_hangs_up({"Content-Length": "5, 6"}, [b"x"])
    with one_sentence("can't reach", f"{server.url}/raw/x.pth", "InvalidHeader"):
        fetch(offer(url=f"{server.url}/raw/x.pth"))
    gc.collect()


def test_redirections_without_end(server, offer):
    server.raw["x.pth"] = leading_to("/raw/x.pth")
    with one_sentence("without end", f"{server.url}/raw/x.pth"):
        fetch(offer(url=f"{server.url}/raw/x.pth"))
    assert len(server.requests) < 50


@pytest.mark.parametrize(
    ("headers", "blocks", "part"),
    [
        ({"Content-Length": "abc"}, [b"x"], "Content-Length of 'abc', which is no size"),
        ({"Content-Length": "-5"}, [b"x"], "Content-Length of '-5'"),
        ({"Content-Length": "999999999999"}, [b"x"], "is larger than 100,000 bytes"),
        ({"Content-Length": "100001"}, [bytes(100_001)], "is larger than"),
        ({"Content-Length": str(len(ZIPPED)), "Content-Encoding": "gzip"}, [ZIPPED], "compressed ('gzip')"),
        (CHUNKED | {"Content-Encoding": "gzip, gzip"}, chunks([ZIPPED]), "compressed ('gzip, gzip')"),
        ({}, forever(bytes(1000)), "is larger than"),
        (CHUNKED, chunks(forever(bytes(1000))), "is larger than"),
        (CHUNKED, [b"no size\r\n"], "broke"),
        (CHUNKED, [b"5\r\nab"], "broke"),
        ({"Content-Length": "50000"}, [b"ab"], "broke"),
    ],
)
def test_answers_that_are_too_much_or_damaged(server, offer, monkeypatch, tmp_path, headers, blocks, part):
    monkeypatch.setattr("esc_plugin.catalog.fetch.MAX_BYTES", 100_000)
    server.raw["x.pth"] = ends_where_the_server_hangs_up(headers, blocks)
    with one_sentence(part, f"{server.url}/raw/x.pth"):
        fetch(offer(url=f"{server.url}/raw/x.pth"))
    assert left_in(tmp_path / "models") == []


def test_a_size_that_is_not_stated(server, offer, tmp_path):
    content = pth(1, tmp_path)
    for headers, blocks in (({}, [content]), (CHUNKED, [*chunks([content[:999], content[999:]]), b"0\r\n\r\n"])):
        server.raw["x.pth"] = ends_where_the_server_hangs_up(headers, blocks)
        calls = []
        path = fetch(offer(url=f"{server.url}/raw/x.pth"), progress=lambda *call, calls=calls: calls.append(call))
        assert calls[-1] == (len(content), 0)
        assert is_model(load_model(path), 1)
        path.unlink()


def test_an_answer_that_never_ends_but_is_slow(server, offer, monkeypatch):
    monkeypatch.setattr("esc_plugin.catalog.https.LONGEST_S", -1)
    server.raw["x.pth"] = ends_where_the_server_hangs_up({}, forever(b"x"))
    with one_sentence("so slowly", f"{server.url}/raw/x.pth"):
        fetch(offer(url=f"{server.url}/raw/x.pth"))


def test_headers_that_never_end_but_are_slow(server, offer, monkeypatch):
    """Each byte of them comes soon enough, so that no read takes too long."""
    monkeypatch.setattr("esc_plugin.catalog.https.LONGEST_S", 0.5)
    over = threading.Event()

    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(300):
            handler.wfile.write(b"x")
            if over.wait(0.1):
                return

    server.raw["x.pth"] = answer
    with one_sentence("so slowly", f"{server.url}/raw/x.pth"):
        fetch(offer(url=f"{server.url}/raw/x.pth"))
    over.set()


def test_a_byte_that_came_is_seen_at_once(server, offer):
    """So that a cancel and the longest time count, whatever the rest is waiting for."""
    cancelled = threading.Event()

    def answer(handler):
        handler.begin(200, {"Content-Length": "100"})
        handler.wfile.write(b"x")
        cancelled.wait()

    server.raw["x.pth"] = answer
    try:
        with pytest.raises(Cancelled):
            fetch(offer(url=f"{server.url}/raw/x.pth"), cancel=lambda: True)
    finally:
        cancelled.set()


# ------------------------------------------------------------------ processes that die

FETCH = """
import sys
from esc_plugin.catalog.manifest import CatalogEntry
from esc_plugin.catalog.fetch import fetch
fetch(CatalogEntry("other", 2, "", url=sys.argv[1], file="other.pth"), sys.argv[2])
"""
COMMAND = """
import sys
from esc_plugin.cli import main
sys.argv = ["esc-sr", "models", "--download", "mine"]
main()
"""


@contextmanager
def stalled(server, folder, program, *arguments):
    """Run a program up to the middle of its download from ``/raw/slow.pth``."""
    asked, done = threading.Event(), threading.Event()

    def answer(handler):
        handler.begin(200, {"Content-Length": "100"})
        handler.wfile.write(b"x")
        asked.set()
        done.wait()

    server.raw["slow.pth"] = answer
    child = subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], cwd=Path(__file__).parents[1])
    try:
        assert asked.wait(200)
        assert len(list(folder.glob(".esc-*"))) == 1
        yield child
    finally:
        child.kill()
        child.wait()
        done.set()


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_has_is_not(server, offer, tmp_path):
    folder = tmp_path / "models"
    server.release["none.pth"] = b"<html>"
    entry = offer(url=f"{server.url}/release/none.pth")
    with stalled(server, folder, FETCH, f"{server.url}/raw/slow.pth", folder):
        with pytest.raises(CheckpointError):
            fetch(entry)
        assert len(list(folder.glob(".esc-*"))) == 1
    assert len(list(folder.glob(".esc-*"))) == 1
    (folder / ".esc-of-mine").write_text("")  # no folder of ours
    workplace._swept.clear()  # as in another process
    with pytest.raises(CheckpointError):
        fetch(entry)
    assert [path.name for path in folder.glob(".esc-*")] == [".esc-of-mine"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that a process could answer")
def test_the_command_line_cleans_up_when_it_is_told_to_end(server, offer, tmp_path):
    offer(url=f"{server.url}/raw/slow.pth")
    with stalled(server, tmp_path / "models", COMMAND) as child:
        child.terminate()
        assert child.wait() == 143
        assert left_in(tmp_path / "models") == []


def test_offline_by_environment(server, offer, monkeypatch, tmp_path):
    server.release["tiny.pth"] = pth(1, tmp_path)
    entry = offer(url=f"{server.url}/release/tiny.pth")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with one_sentence("offline"):
        fetch(entry)
    assert server.requests == []


def test_a_folder_that_takes_nothing(server, offer, tmp_path, monkeypatch):
    server.release["tiny.pth"] = pth(1, tmp_path)
    entry = offer(url=f"{server.url}/release/tiny.pth")
    (tmp_path / "file").write_text("")
    with one_sentence("can't write into", "ESC_MODELS_DIR"):
        fetch(entry, tmp_path / "file/folder")


FULL = """
import sys
from esc_plugin.errors import HubError
from esc_plugin.catalog.manifest import CatalogEntry
from esc_plugin.catalog.fetch import fetch
try:
    fetch(CatalogEntry("mine", 2, "", **dict(part.split("=") for part in sys.argv[2:])), sys.argv[1])
except HubError as error:
    print(error)
"""


def test_a_full_disk(server, monkeypatch, tmp_path):
    """A limit on the size of files stands in for it: for a download, and for the copy out of the Hub's cache."""
    server.release["tiny.pth"] = bytes(10**6)
    server.repo("org/repo", {"esc.safetensors": A})
    load_model("org/repo")
    monkeypatch.setenv("HF_HUB_CACHE", constants.HF_HUB_CACHE)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    commit = server.repos["org/repo"].refs["main"]
    for offered in (
        [f"url={server.url}/release/tiny.pth", "file=tiny.pth"],
        ["hub=org/repo", "file=esc.safetensors", f"revision={commit}"],
    ):
        said = run_confined(FULL, tmp_path / "host", *offered, file_size=len(A) // 2)
        assert said.count("\n") == 1
        assert "File too large; make room" in said
        assert left_in(tmp_path / "host") == []


def test_files_in_the_folder_are_models(server, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/my own.safetensors").write_bytes(A)
    (tmp_path / "models/notes.txt").write_text("")
    (tmp_path / "models/.hidden.safetensors").write_bytes(A)
    entry = next(entry for entry in list_models() if entry.name == "my own")
    assert isinstance(entry, CatalogEntry)
    assert is_model(load_model("my own"), 1)
    assert not {"notes", ".hidden"} & {entry.name for entry in list_models()}
    assert {row["name"]: row["status"] for row in verify()}["my own"] == "unknown"
    (tmp_path / "models/my own.safetensors").unlink()
    with pytest.raises(HubError, match="is not there"):
        fetch(entry)
