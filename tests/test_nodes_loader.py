"""Load ESC Model in a ComfyUI of 2025 and one of 2026: what its menu tells, what it takes, and when it loads anew."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from esc_plugin.catalog.by_default import default_model
from esc_plugin.catalog.by_purpose import models_for
from esc_plugin.catalog.menu import bundled_path, find_model
from esc_plugin.network import ESC

from .comfy_stubs import ROOT, TINY, Comfy, import_spandrel
from .golden import Golden, golden_cases
from .hub_server import HubServer
from .systems import symlink
from .test_hub import point_to

NODE = "ESC_LoadModel"


@pytest.fixture
def host(running: Comfy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comfy:
    """A ComfyUI without a model of the user's."""
    running.start()
    running.folder = tmp_path / "upscale_models"
    running.folder.mkdir()
    running.files = {}
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path / "models"))
    return running


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Comfy) -> Iterator[HubServer]:
    with HubServer() as server:
        point_to(server.url, monkeypatch, tmp_path)
        yield server


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return ESC(TINY).state_dict()


def put(host: Comfy, name: str, content: bytes) -> Path:
    """Put a file into models/upscale_models."""
    path = host.files[name] = host.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def menu(host: Comfy) -> dict[str, str]:
    """What the menu offers: values, and what is shown of them."""
    (declared,) = (part for part in host.nodes[NODE].define_schema().inputs if part.id == "model")
    labels = declared.extra_dict["labels"]
    assert declared.values["options"] == list(labels)
    return labels


def offer(host: Comfy, tmp_path: Path, **fields: Any) -> None:
    """Write the user's own list of models."""
    (tmp_path / "models").mkdir(exist_ok=True)
    entry = {"name": "theirs", "scale": 2, "purpose": "drawing", "file": "theirs.pth"} | fields
    (tmp_path / "models" / "manifest.yaml").write_text(json.dumps({"models": [entry]}))


# ---- the menu


def test_the_menu_says_what_each_model_is_and_takes(host: Comfy) -> None:
    labels = menu(host)
    real = [entry.name for entry in models_for("real photo") if entry.bundled]
    assert list(labels)[: len(real)] == real  # images here are photographs, and these work at once, on any computer
    assert real[0] == default_model().entry.name
    assert labels["esc-nano-x2"] == "esc-nano-x2 (2x; clean photos; here)"
    assert labels["esc-x4"] == "esc-x4 (4x; clean photos; download 8 MB)"
    assert labels["esc-xl-x2"].endswith("(2x; clean photos; download 100 MB, unconfirmed)")
    places = [name for name in labels if name in ("esc-x2", "esc-real-x4-gan", "esc-fp-x2", "esc-real-fb-x4-gan")]
    assert places == ["esc-real-x4-gan", "esc-x2", "esc-real-fb-x4-gan", "esc-fp-x2"]  # by purpose, unconfirmed ones last


def test_every_download_says_how_large_it_is(host: Comfy) -> None:
    assert [label for label in menu(host).values() if "download" in label and not re.search(r"download \d+ MB", label)] == []


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_esc_files_of_every_dialect_are_offered(case: Golden, host: Comfy) -> None:
    host.files = {f"sub/{case.path.name}": case.path}
    assert menu(host)[f"sub/{case.path.name}"] == f"sub/{case.path.name} (your file)"


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_of_other_networks_are_left_out(suffix: str, host: Comfy) -> None:
    state = {f"layers.{n}.attn.qkv.weight": torch.zeros(2, 2) for n in range(3)}
    if suffix == ".pth":
        host.files["other.pth"] = host.folder / "other.pth"
        torch.save({"params": state}, host.folder / "other.pth")
    else:
        put(host, "other.safetensors", save(state))
    put(host, "page.pth", b"<html>not found</html>")
    put(host, "notes.txt", save(weights()))
    host.files["gone.pth"] = host.folder / "gone.pth"
    assert set(host.files) & set(menu(host)) == set()


def test_what_a_file_states_stands_in_the_menu_among_its_kind(host: Comfy) -> None:
    stated = {"purpose": "drawing", "esc_config": json.dumps({"scale": 2})}
    save_file(weights(), host.folder / "mine.safetensors", metadata=stated)
    host.files["mine.safetensors"] = host.folder / "mine.safetensors"
    labels = menu(host)
    assert labels["mine.safetensors"] == "mine.safetensors (2x; drawings; your file)"
    assert list(labels).index("esc-real-x4-mse") < list(labels).index("mine.safetensors") < list(labels).index("esc-lt-x3")


@pytest.mark.parametrize("folder", ["upscale_models", "elsewhere"])
@pytest.mark.parametrize("file", ["ESC_DIV2K_X2.pth", "ESC_DIV2K_X2.safetensors"])
def test_a_downloaded_model_is_there_once(file: str, folder: str, host: Comfy, tmp_path: Path) -> None:
    path = tmp_path / folder / file  # the second is one of extra_model_paths.yaml
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save(weights()))
    host.files = {file: path}
    labels = menu(host)
    assert labels["esc-x2"] == "esc-x2 (2x; clean photos; here)"
    assert file not in labels
    for name in ("esc-x2", file):  # as older workflows have it
        assert host.refusal(NODE, model=name, hub_id="") == ""
        assert torch.equal(host.run(NODE, model=name).model.last.weight, weights()["last.weight"])
    assert [found.name for found in path.parent.iterdir()] == [file]


def test_copies_and_links_are_there_once(host: Comfy) -> None:
    entry = find_model("esc-nano-x4")
    assert entry is not None
    put(host, "esc-nano-x4.safetensors", bundled_path(entry).read_bytes())
    put(host, "esc-nano-x2.safetensors", save(weights()))  # another of that name is another model
    path = put(host, "a.safetensors", save(weights()))
    symlink(host.folder / "b.safetensors", path)
    host.files["b.safetensors"] = host.folder / "b.safetensors"
    assert [name for name in menu(host) if name in host.files] == ["a.safetensors", "esc-nano-x2.safetensors"]


@pytest.mark.parametrize("damaged", ["models/manifest.yaml", "upscale_models/esc-downloads.json"])
def test_a_damaged_list_costs_no_node(damaged: str, host: Comfy, tmp_path: Path) -> None:
    put(host, "mine.safetensors", save(weights()))
    put(host, "ESC_DIV2K_X2.pth", save(weights()))
    (tmp_path / "models").mkdir()
    (tmp_path / damaged).write_text("models: [{name: 5}]")
    assert set(menu(host)) == set(host.files)


def test_a_folder_of_many_files_is_read_once(host: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(20):
        put(host, f"{n}.safetensors", save(weights()))
    menu(host)
    opened: list[Path] = []
    plain = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *rest, **options: opened.append(path) or plain(path, *rest, **options))
    assert "7.safetensors" in menu(host)
    assert [path for path in opened if path.suffix == ".safetensors"] == []
    put(host, "7.safetensors", b"another")
    assert "7.safetensors" not in menu(host)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_page_shows_labels_and_keeps_values() -> None:
    script = (ROOT / "web" / "js" / "model_menu.js").read_text(encoding="utf-8")
    definition = {"name": NODE, "input": {"required": {"model": ["COMBO", {"labels": {"a": "a (2x; here)"}}]}}}
    used = f"""
        let extension;
        const app = {{registerExtension: (given) => {{ extension = given; }}}};
        {re.sub("^import .*$", "", script, flags=re.MULTILINE)}
        const node = {{comfyClass: "{NODE}", widgets: [{{name: "model", options: {{}}}}]}};
        extension.beforeRegisterNodeDef(null, {{name: "KSampler"}});
        extension.beforeRegisterNodeDef(null, {json.dumps(definition)});
        extension.nodeCreated({{comfyClass: "KSampler", widgets: []}});
        extension.nodeCreated(node);
        const shown = node.widgets[0].options.getOptionLabel;
        const before = ["a", "gone.pth", null].map(shown);
        extension.refreshComboInNodes({{"{NODE}": {json.dumps(definition).replace("here", "now")}}});
        console.log(JSON.stringify([before, shown("a")]));
    """
    done = subprocess.run(["node", "--input-type=module"], input=used, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [["a (2x; here)", "gone.pth", ""], "a (2x; now)"]


# ---- what it takes


def test_older_workflows_are_taken_and_others_told_before_the_run(host: Comfy) -> None:
    put(host, "old.pth", b"not one that the menu offers")
    for model in ("esc-nano-x2", "old.pth", None):  # None comes from another node
        assert host.refusal(NODE, model=model, hub_id="") == ""
    assert host.refusal(NODE, model="esc-nano-x2") == ""
    assert "there is no model 'gone.pth'" in host.refusal(NODE, model="gone.pth", hub_id="")
    assert host.refusal(NODE, model="gone.pth", hub_id="lab/esc-x2") == ""  # the menu doesn't count


@pytest.mark.parametrize("page", ["/blob/main/model.safetensors", "/resolve/main/model.safetensors?download=true", "/", ""])
def test_a_pasted_address_is_taken(page: str, hub: HubServer, host: Comfy) -> None:
    hub.repo("lab/esc-x2", {"model.safetensors": save(weights())})
    for site in (hub.url, "https://huggingface.co", "huggingface.co"):
        model = host.run(NODE, model="esc-nano-x2", hub_id=f" {site}/lab/esc-x2{page} ")
        assert torch.equal(model.model.last.weight, weights()["last.weight"])


def test_loaders_stand_beside_comfyuis_own(host: Comfy) -> None:
    own = {"2025": "loaders", "2026": "model/loaders"}[host.generation]
    assert host.nodes[NODE].define_schema().category == own
    assert host.nodes["ESC_UpscaleImage"].define_schema().category == "image/upscaling"


# ---- when it loads anew


def test_a_replaced_file_is_loaded_anew(host: Comfy) -> None:
    path = put(host, "mine.safetensors", save(weights(1)))
    before = host.fingerprint(NODE, model="mine.safetensors", hub_id="")
    assert host.fingerprint(NODE, model="mine.safetensors", hub_id="") == before
    os.utime(put(host, "mine.safetensors", save(weights(2))), ns=(0, path.stat().st_mtime_ns + 1_000_000))
    assert host.fingerprint(NODE, model="mine.safetensors", hub_id="") != before
    path.unlink()
    assert host.fingerprint(NODE, model="mine.safetensors") != before


def test_a_download_is_no_reason_to_run_again_and_another_file_is(hub: HubServer, host: Comfy, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "theirs.pth")
    hub.release["theirs.pth"] = (tmp_path / "theirs.pth").read_bytes()
    offer(host, tmp_path, url=f"{hub.url}/release/theirs.pth")
    before = host.fingerprint(NODE, model="theirs", hub_id="")
    host.run(NODE, model="theirs")
    assert host.fingerprint(NODE, model="theirs", hub_id="") == before
    (host.folder / "theirs.safetensors").write_bytes(save(weights(2)))
    assert host.fingerprint(NODE, model="theirs", hub_id="") != before


def test_models_of_the_hub_stay_until_they_are_named_otherwise(host: Comfy) -> None:
    one, other = (host.fingerprint(NODE, model="esc-nano-x2", hub_id=name) for name in ("lab/one", "lab/other"))
    assert one == host.fingerprint(NODE, model="esc-nano-x2", hub_id="lab/one")
    assert one != other
    assert host.fingerprint(NODE, model=None, hub_id="") == host.fingerprint(NODE, model=None)


# ---- what is said


def test_what_was_loaded_is_logged(host: Comfy, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    entry = find_model("esc-nano-x2")
    assert entry is not None
    host.run(NODE, model="esc-nano-x2")
    assert f"esc-nano-x2, sha256 {entry.sha256[:12]}" in caplog.text
    assert "For clean photos" in caplog.text
    put(host, "mine.safetensors", save(weights()))
    host.run(NODE, model="mine.safetensors")
    assert str(host.files["mine.safetensors"]) in caplog.text


SUFFIX = "Load Upscale Model"


def test_only_other_networks_are_sent_to_the_stock_loader(host: Comfy) -> None:
    broken = weights() | {"last.weight": torch.full_like(weights()["last.weight"], torch.nan)}
    missing = {name: value for name, value in weights().items() if name != "last.bias"}
    others = {"a.weight": torch.zeros(3, 3), "index": torch.zeros(3, dtype=torch.int64)}
    files = {"nan": save(broken), "missing": save(missing), "cut": save(weights())[:-9], "page": b"<html>", "empty": b""}
    files |= {"others": save(others), "plain": save({"a.weight": torch.zeros(3, 3)})}
    said = {}
    for name, content in files.items():
        put(host, f"{name}.safetensors", content)
        with pytest.raises(host.inside("esc_plugin.errors").CheckpointError) as info:
            host.run(NODE, model=f"{name}.safetensors")
        said[name] = str(info.value)
    assert [name for name, text in said.items() if SUFFIX in text] == ["others", "plain"]
    assert "'last.weight' holds values that are no numbers" in said["nan"]


def test_what_cant_be_downloaded_is_named_with_its_address(hub: HubServer, host: Comfy, tmp_path: Path) -> None:
    offer(host, tmp_path, url=f"{hub.url}/release/theirs.pth")
    with pytest.raises(Exception, match="by hand") as info:
        host.run(NODE, model="theirs")
    assert f"{hub.url}/release/theirs.pth" in str(info.value)
    assert repr(str(host.folder)) in str(info.value)


def test_what_the_hub_doesnt_give_is_named_with_its_address(
    hub: HubServer, host: Comfy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.status = 503
    with pytest.raises(Exception, match="by hand") as info:
        host.run(NODE, model="esc-nano-x2", hub_id="lab/esc-x2")
    assert f"get {hub.url}/lab/esc-x2/tree/main by hand" in str(info.value)
    assert repr(str(host.folder)) in str(info.value)


def test_stock_nodes_refuse_weights_that_are_no_numbers(host: Comfy) -> None:
    broken = weights() | {"last.weight": torch.full_like(weights()["last.weight"], torch.nan)}
    path = put(host, "nan.safetensors", save(broken))
    registry = import_spandrel().ArchRegistry()
    host.inside("nodes.spandrel_support").register(registry)
    with pytest.raises(host.inside("esc_plugin.errors").CheckpointError, match=r"'last.weight' holds values that are no"):
        registry.load(load_file(path))
