"""Conversion, folders and repositories: what goes out comes back as it was."""

import hashlib
import json

import pytest
import torch
import yaml
from huggingface_hub import constants
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from esc_plugin import __version__
from esc_plugin.catalog.load import load_model
from esc_plugin.catalog.publish import publish
from esc_plugin.errors import CheckpointError, EscError, HubError
from esc_plugin.weights.checkpoint import read_checkpoint
from esc_plugin.weights.convert import convert

from .hub_server import HubServer
from .test_hub import RIB, TINY, point_to, weights


@pytest.fixture
def pth(tmp_path):
    state = {name: value.half() for name, value in weights(1).items()}
    torch.save({"params": weights(2), "params_ema": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "made.pth")
    return tmp_path / "made.pth"


def same(one, other):
    a, b = one.network.state_dict(), other.network.state_dict()
    return one.config == other.config and set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def metadata(path):
    with safe_open(path, "pt") as file:
        return file.metadata()


# ------------------------------------------------------------------ convert


def test_convert_keeps_names_values_and_precision_and_says_where_from(pth, tmp_path):
    target = convert(pth, tmp_path / "out.safetensors")
    written = load_file(target)
    expected = {name: value.half() for name, value in weights(1).items()}
    assert set(written) == set(expected)
    for name, value in written.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    about = metadata(target)
    assert json.loads(about["esc_config"]) == TINY.to_dict()
    assert about["source"] == "made.pth"
    assert about["source_sha256"] == hashlib.sha256(pth.read_bytes()).hexdigest()
    assert about["converter"] == f"esc-plugin {__version__}"
    assert same(load_model(target), load_model(pth))
    assert load_model(target).card["source"] == "made.pth"


def test_convert_every_golden_file(shared, tmp_path):
    """The names stay those of the program that wrote the file, so that it opens the result."""
    files = [p for p in (shared / "golden").iterdir() if ".io." not in p.name and p.suffix in (".pth", ".safetensors")]
    assert len(files) > 30
    for path in files:
        before = read_checkpoint(path).state
        after = read_checkpoint(convert(path, tmp_path / f"{path.stem}.safetensors")).state
        assert set(after) == set(before), path.name
        assert all(torch.equal(after[name], before[name]) for name in before), path.name
        model = load_model(path)
        assert same(load_model(model.save_pretrained(tmp_path / path.stem)), model), path.name


def test_convert_refuses_to_overwrite(pth, tmp_path):
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"precious")
    with pytest.raises(EscError, match=r"'.*out\.safetensors' is there already.*force=True"):
        convert(pth, target)
    assert target.read_bytes() == b"precious"
    assert convert(pth, target, force=True) == target
    assert same(load_model(target), load_model(pth))


def test_convert_leaves_nothing_behind(pth, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"PK\x03\x04 nothing")
    (tmp_path / "old.safetensors").write_bytes(b"precious")
    with pytest.raises(CheckpointError, match=r"bad\.pth"):
        convert(tmp_path / "bad.pth", tmp_path / "old.safetensors", force=True)
    assert (tmp_path / "old.safetensors").read_bytes() == b"precious"
    with pytest.raises(CheckpointError, match=r"must end in \.safetensors"):
        convert(pth, tmp_path / "out.pth")
    (tmp_path / "file").write_text("")
    with pytest.raises(EscError, match="can't write"):
        convert(pth, tmp_path / "file/out.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"can't convert '.*other\.safetensors': this is no ESC network"):
        convert(tmp_path / "other.safetensors", tmp_path / "out.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "bad.pth",
        "file",
        "made.pth",
        "old.safetensors",
        "other.safetensors",
    ]


def test_the_window_of_a_rib_is_kept(tmp_path):
    save_file(weights(1, RIB), tmp_path / "rib.safetensors")
    assert load_model(tmp_path / "rib.safetensors").config.window_size == 64
    target = convert(tmp_path / "rib.safetensors", tmp_path / "rib32.safetensors", window_size=32)
    assert load_model(target).config.window_size == 32
    assert load_model(target, window_size=16).config.window_size == 16
    for bad in (0, -1, 1.5, True, 10**9):
        with pytest.raises(CheckpointError, match="window_size"):
            load_model(target, window_size=bad)


def test_the_window_of_the_others_is_in_the_file(tmp_path):
    save_file(weights(1), tmp_path / "esc.safetensors")
    assert load_model(tmp_path / "esc.safetensors", window_size=4).config == TINY
    with pytest.raises(CheckpointError, match="are 4 pixels, not 8"):
        load_model(tmp_path / "esc.safetensors", window_size=8)


# ------------------------------------------------------------------ folders


def test_save_pretrained_and_back(pth, tmp_path):
    model = load_model(pth)
    path = model.save_pretrained(tmp_path / "folder")
    assert path == tmp_path / "folder/made.safetensors"
    assert sorted(p.name for p in path.parent.iterdir()) == ["config.json", "made.safetensors"]
    assert json.loads((path.parent / "config.json").read_text()) == TINY.to_dict()
    again = load_model(tmp_path / "folder")
    assert same(again, model)
    assert again.name == "made"
    assert again.card["source_sha256"] == model.sha256
    with pytest.raises(EscError, match="is there already"):
        model.save_pretrained(tmp_path / "folder")
    model.save_pretrained(tmp_path / "folder", force=True)


def test_a_folder_of_an_older_window(tmp_path):
    save_file(weights(1, RIB), tmp_path / "rib.safetensors")
    (tmp_path / "config.json").write_text('{"window_size": 8, "dim": 512}')
    assert load_model(tmp_path).config.window_size == 8


def test_folders_that_hold_no_model_or_several(tmp_path):
    with pytest.raises(HubError, match="has no weights file"):
        load_model(tmp_path)
    for name in "ab":
        save_file(weights(1), tmp_path / f"{name}.safetensors")
    with pytest.raises(HubError, match=r"2 weights files; choose one"):
        load_model(tmp_path)


# ------------------------------------------------------------------ repositories


@pytest.fixture
def server(monkeypatch, tmp_path):
    with HubServer() as running:
        point_to(running.url, monkeypatch, tmp_path)
        yield running


@pytest.mark.parametrize("there", [False, True])
def test_a_dry_run_that_fails_leaves_nothing(there, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    monkeypatch.setattr("esc_plugin.catalog.publish.write_text", lambda *_: 1 / 0)  # the card, which is the last file
    with pytest.raises(ZeroDivisionError):
        publish("esc-nano-x2", "me/nano", dry_run=folder)
    assert [path for path in tmp_path.rglob("*") if path != folder] == []
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    publish("esc-nano-x2", "me/nano", dry_run="out")
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "esc-nano-x2.safetensors"}


def test_dry_run_writes_what_would_be_sent(server, tmp_path):
    folder = tmp_path / "dry"
    assert publish("esc-nano-x2", "me/nano", dry_run=folder) == str(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "esc-nano-x2.safetensors"]
    assert server.requests == []
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "mit"
    assert yaml.safe_load(head)["pipeline_tag"] == "image-to-image"
    for part in (
        "# nano",
        "2 times",
        "37.35",
        "Set14 bicubic",
        "CLIC 2025",
        "me/nano",
        "2503.06671",
        "152,912",
        "clean photo",
    ):
        assert part in body
    assert same(load_model(folder), load_model("esc-nano-x2"))
    with pytest.raises(CheckpointError, match="is not empty"):
        publish("esc-nano-x2", "me/nano", dry_run=folder)


def test_publish_and_load_it_back(server, pth, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    options = {"license": "cc-by-4.0", "base_model": "org/base", "training": "Ten pictures | of cats"}
    url = publish(pth, "me/mine", **options)
    assert url.startswith(f"{server.url}/me/mine/commit/")
    commit = server.repos["me/mine"].refs["main"]
    files = server.repos["me/mine"].commits[commit]
    assert sorted(files) == ["README.md", "config.json", "made.safetensors"]
    header = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert (header["license"], header["base_model"]) == ("cc-by-4.0", "org/base")
    assert b"Ten pictures \\| of cats" in files["README.md"]
    model = load_model("me/mine")
    assert same(model, load_model(pth))
    assert model.source == f"me/mine/made.safetensors@{commit}"
    assert model.card["license"] == "cc-by-4.0"
    assert model.card["source_sha256"] == hashlib.sha256(pth.read_bytes()).hexdigest()
    publish(pth, "me/mine", **options)  # again: a new commit in the same repository


def test_publish_needs_a_licence_a_name_and_a_login(server, pth, monkeypatch):
    with pytest.raises(CheckpointError, match="--license"):
        publish(pth, "me/mine")
    with pytest.raises(HubError, match="looks like 'org/repo'"):
        publish(pth, "mine", license="mit")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    with pytest.raises(HubError, match="log in") as info:
        publish(pth, "me/mine", license="mit")
    assert "\n" not in str(info.value)
    assert not server.repos


def test_bytes_that_are_no_text_are_one_line(pth, tmp_path):
    with pytest.raises(CheckpointError, match=r"license must be text, not 'x\\udcff'"):
        publish(pth, "org/name", dry_run=tmp_path / "card", license="x\udcff")
    assert not (tmp_path / "card").exists() or not list((tmp_path / "card").iterdir())
