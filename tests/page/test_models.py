"""Models of the page: exported once, and described so that a stranger can choose."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esc_plugin import EscError, Model, load_model
from esc_plugin.catalog.by_default import default_model
from esc_plugin.export.formats import FORMS
from esc_plugin.page import models as page_models
from esc_plugin.page.models import export_models, offered_models

FACTS = {"scale": "2", "window": "16", "unshuffle": "1", "reach": "112", "layers": "10", "channels": "16"}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was exported, in place of the half minute that it takes."""
    onnx, calls = pytest.importorskip("onnx"), list[str]()

    def export(model: Model, path: Path, *, form: str) -> None:
        calls.append(f"{model.name} {form}")
        graph = onnx.helper.make_graph([], model.name, [], [])
        proto = onnx.helper.make_model(graph)
        for key, value in FACTS.items():
            proto.metadata_props.add(key=key, value=value)
        path.write_bytes(proto.SerializeToString())

    monkeypatch.setitem(sys.modules, "esc_plugin.export.export", SimpleNamespace(export=export))
    monkeypatch.setenv("ESC_CACHE_DIR", str(tmp_path))
    return calls


def test_a_model_is_exported_once_until_something_changes(exported: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model("esc-nano-x2")
    told: list[tuple[int, int]] = []
    first = export_models([model], lambda done, total: told.append((done, total)))
    assert exported == [f"esc-nano-x2 {form}" for form in FORMS]
    assert told[-1][0] == told[-1][1]
    assert export_models([model]) == first
    assert len(exported) == 2
    export_models([replace(model, sha256="0" * 64)])
    assert len(exported) == 4
    monkeypatch.setattr(page_models, "_source_hashes", lambda: ["another network"])
    export_models([model])
    assert len(exported) == 6


def test_a_damaged_file_in_the_cache_is_made_again(exported: list[str]) -> None:
    model = load_model("esc-nano-x2")
    first, about = export_models([model])
    good = {path: path.read_bytes() for path in first.values()}
    for damage in (b"", b"half"), (b"\xff" * 99,):
        for path, content in zip(first.values(), damage, strict=False):
            path.write_bytes(content)
        assert export_models([model]) == (first, about)
        assert {path: path.read_bytes() for path in first.values()} == good
    assert len(exported) == 2 + 2 + 1


def test_the_page_is_told_what_its_engine_and_its_people_need(exported: list[str]) -> None:
    files, about = export_models([load_model(name) for name in ("esc-nano-x2", "esc-nano-real-x2")])
    assert about["default"] == default_model().entry.name
    photo = about["models"][0]
    assert photo.items() >= {name: int(value) for name, value in FACTS.items()}.items()
    assert photo["title"] == "Photo: clean"
    assert (
        photo["card"][0] == "For clean photos: small and quick; sharper edges, no invented texture, noise gets sharper too."
    )
    assert photo["regions"]["url"].startswith("models/esc-nano-x2-regions-")
    assert photo["whole"]["bytes"] == files[photo["whole"]["url"].removeprefix("models/")].stat().st_size


def test_models_that_a_title_leaves_unclear_are_named(exported: list[str]) -> None:
    model = load_model("esc-nano-x2")
    others = [replace(model, name="mine"), replace(model, name="bare", card={}), replace(model, name="odd", card={})]
    _, about = export_models([model, *others])
    assert [entry["title"] for entry in about["models"]] == [
        *("Photo: clean (esc-nano-x2)", "Photo: clean (mine)"),
        *("bare", "odd"),
    ]
    assert about["default"] == "esc-nano-x2"


def test_names_of_models_never_lead_out_of_their_folder(exported: list[str]) -> None:
    files, about = export_models([replace(load_model("esc-nano-x2"), name="../a b?#é/x")])
    assert not set("/\\?# ") & set("".join(files))
    assert {about["models"][0][form]["url"] for form in FORMS} == {f"models/{name}" for name in files}


def test_two_models_of_one_name_are_refused(exported: list[str]) -> None:
    model = load_model("esc-nano-x2")
    with pytest.raises(EscError, match="two models are called 'esc-nano-x2'"):
        export_models([model, replace(model, sha256="0")])


def test_the_bundled_models_are_offered_by_kind() -> None:
    assert offered_models()[:3] == ["esc-nano-x2", "esc-nano-x4", "esc-nano-real-x2"]


def test_without_the_packages_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(extra: str) -> Any:
        raise EscError(f"{extra!r} needs packages")

    monkeypatch.setattr(page_models, "needs", missing)
    with pytest.raises(EscError, match="'export' needs packages"):
        export_models([])
