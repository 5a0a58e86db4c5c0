"""The commands about models."""

import json

import pytest
import torch

from .commands import inside_the_test
from .hub_server import HubServer
from .test_hub import A, point_to, weights


@pytest.fixture
def esc(tmp_path, monkeypatch, capsys):
    """Return a function that runs ``esc-sr`` with a models folder of its own, and returns what it said."""
    point_to("http://127.0.0.1:9", monkeypatch, tmp_path)
    (tmp_path / "models").mkdir()
    return inside_the_test(monkeypatch, capsys)


@pytest.fixture
def pth(tmp_path):
    torch.save({"params_ema": weights(1)}, tmp_path / "made.pth")
    return tmp_path / "made.pth"


def test_list_download_verify(esc, pth, tmp_path, caplog):
    with HubServer() as server:
        server.release["made.pth"] = pth.read_bytes()
        mine = {"name": "mine", "scale": 2, "purpose": "clean photo", "url": f"{server.url}/release/made.pth"}
        (tmp_path / "models/manifest.yaml").write_text(json.dumps({"models": [mine]}))
        rows = {row["name"]: row for row in json.loads(esc("models", "--json"))}
        assert rows["mine"]["file"] == "download"
        assert rows["esc-nano-x2"]["file"] == "here"
        assert rows["esc-fp-x2"]["file"] == "unconfirmed"
        said = esc("models", "--download", "mine")
        assert str(tmp_path / "models/made.safetensors") in said
        assert "noted and checked from now on" in caplog.text
    listing = esc("models")
    assert "esc-real-x4-gan" in listing
    assert "only implied" in listing
    assert str(tmp_path / "models") in listing
    rows = {row["name"]: row["status"] for row in json.loads(esc("models", "--verify", "--json"))}
    assert (rows["mine"], rows["esc-nano-x4"], rows["esc-x2"]) == ("ok", "ok", "absent")
    with (tmp_path / "models/made.safetensors").open("ab") as file:
        file.write(b"x")
    said = esc("models", "--verify", code=1)
    assert "mismatch" in said
    assert "error: " in said
    assert "Delete it" in said
    assert "error: there is no model 'none'" in esc("models", "--download", "none", code=1)


def test_convert_and_info(esc, pth, tmp_path):
    out = tmp_path / "out.safetensors"
    esc("convert", pth, out)
    assert "is there already" in esc("convert", pth, out, code=1)
    esc("convert", pth, out, "--force")
    about = json.loads(esc("info", out, "--json"))
    assert (about["name"], about["scale"], about["source"]) == ("out", 2, "made.pth")
    assert "error: there is no weights file" in esc("convert", tmp_path / "none.pth", tmp_path / "x.safetensors", code=1)


def test_publish_dry_run_and_a_hub_that_is_far(esc, pth, tmp_path, monkeypatch):
    assert "--license" in esc("publish", pth, "me/mine", "--dry-run", tmp_path / "dry", code=1)
    esc("publish", pth, "me/mine", "--dry-run", tmp_path / "dry", "--license", "MIT")
    assert sorted(path.name for path in (tmp_path / "dry").iterdir()) == ["README.md", "config.json", "made.safetensors"]
    assert "check the connection" in esc("info", "me/mine", code=1)
    with HubServer() as server:
        server.repo("me/mine", {"made.safetensors": A})
        point_to(server.url, monkeypatch, tmp_path)
        assert "me/mine/made.safetensors@" in esc("info", "me/mine")
