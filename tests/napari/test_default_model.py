"""Which model the doors of napari take until somebody names one, and what they say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from PIL import Image as Still

from esc_plugin.catalog.by_default import default_model
from esc_plugin.catalog.by_purpose import models_for
from esc_plugin.catalog.traits import PHOTO, Traits
from esc_plugin.files import read_provenance
from napari_esc import upscale_layer
from napari_esc.commands import upscale_x2
from napari_esc.facts import traits_of
from napari_esc.folder_form import EACH
from napari_esc.folder_widget import FolderWidget
from napari_esc.layers import upscale_layers
from napari_esc.widget import EscWidget

GRAY = np.random.default_rng(0).integers(0, 256, (16, 18), np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (16, 18, 3), np.uint8)
DEEP = GRAY.astype(np.uint16) * 200
UM = ("micrometer", "micrometer")
LAYERS = {
    "photo": (lambda: Image(RGB, rgb=True), PHOTO),
    "gray": (lambda: Image(GRAY), Traits()),
    "deep photo": (lambda: Image(RGB.astype(np.uint16) * 200, rgb=True), Traits(deep=True, colour=True)),
    "channel": (lambda: Image(DEEP), Traits(deep=True)),
    "stack": (lambda: Image(np.stack([DEEP, DEEP])), Traits(deep=True)),
    "pyramid": (lambda: Image([DEEP, DEEP[::2, ::2]], multiscale=True), Traits(deep=True)),
    "calibrated": (lambda: Image(GRAY, units=UM), Traits(microscope=True)),
    "stained": (lambda: Image(RGB, rgb=True, units=UM), Traits(colour=True, microscope=True)),
}


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    return make_napari_viewer()


@pytest.fixture
def form(viewer: Any) -> Any:
    panel = EscWidget(viewer)
    viewer.window.add_dock_widget(panel)
    return panel.form


def bundled(purpose: str) -> list[str]:
    return [entry.name for entry in models_for(purpose) if entry.bundled]


@pytest.mark.parametrize("name", LAYERS)
def test_the_kind_of_a_layer(name: str) -> None:
    make, traits = LAYERS[name]
    assert traits_of(make()) == traits


@pytest.mark.parametrize("name", ["photo", "channel", "calibrated"])
def test_layers_have_the_model_of_their_kind_and_say_so(name: str) -> None:
    make, traits = LAYERS[name]
    entry, reason, _ = default_model(traits)
    record = upscale_layer(make())[1]["metadata"]["esc"]
    assert (record["model"], record["model_choice"]) == (entry.name, reason)
    named = upscale_layer(make(), "esc-nano-x2")[1]["metadata"]["esc"]
    assert "model_choice" not in named
    asked = upscale_layer(make(), purpose="clean", factor=4)[1]["metadata"]["esc"]
    assert asked["model"] == "esc-nano-x4"


def test_several_layers_are_told_one_by_one() -> None:
    made = upscale_layers([Image(RGB, rgb=True), Image(DEEP)])
    assert [it[1]["metadata"]["esc"]["model"] for it in made] == [bundled("real photo")[0], bundled("fluorescence")[0]]


def test_the_panel_follows_the_selected_layer_until_a_person_chooses(viewer: Any, form: Any) -> None:
    photo, channel = viewer.add_image(RGB, rgb=True), viewer.add_image(DEEP)
    for layer, purpose in ((channel, "fluorescence"), (photo, "real photo"), (channel, "fluorescence")):
        viewer.layers.selection = {layer}
        assert form.model_name == bundled(purpose)[0]
        assert form.why.isVisibleTo(form)
        assert default_model(traits_of(layer)).reason in form.why.text()
        assert form.settings(layer).reason == default_model(traits_of(layer)).reason
        assert form.factors == (2, 2)
    form.model.value = "esc-nano-x4"
    for layer in (photo, channel):
        viewer.layers.selection = {layer}
        assert (form.model_name, form.settings(layer).reason) == ("esc-nano-x4", "")
        assert not form.why.isVisibleTo(form)


def test_choosing_what_is_shown_keeps_it(viewer: Any, form: Any) -> None:
    photo, channel = viewer.add_image(RGB, rgb=True), viewer.add_image(DEEP)
    viewer.layers.selection = {channel}
    form.model.native.activated.emit(form.model.native.currentIndex())
    viewer.layers.selection = {photo}
    assert form.model_name == bundled("fluorescence")[0]
    assert not form.why.isVisibleTo(form)


def test_what_a_person_has_chosen_needs_no_reason_for_another_purpose(viewer: Any, form: Any) -> None:
    photo = viewer.add_image(RGB, rgb=True)
    form.model.value = "esc-nano-x4"
    form.purpose.value = "clean photo"
    assert (form.model_name, form.settings(photo).reason) == ("esc-nano-x4", "")
    assert not form.why.isVisibleTo(form)
    form.purpose.value = "real photo"  # for which that model isn't, so that nobody has chosen this one
    assert (form.model_name, bool(form.reason)) == (bundled("real photo")[0], True)
    assert form.why.isVisibleTo(form)


def test_the_factor_stays_and_may_ask_for_another_scale(viewer: Any, form: Any) -> None:
    viewer.layers.selection = {viewer.add_image(DEEP)}
    for factor in (3.0, 1.5, 7.5):
        form.factor.value = factor
        assert form.factors == (factor, factor)
        assert form.model_name == default_model(Traits(deep=True), factor).entry.name
    form.purpose.value = "clean photo"
    form.factor.value = 3
    assert (form.model_name, form.factors) == ("esc-nano-x4", (3, 3))
    form.purpose.value = ""
    assert form.model_name == bundled("fluorescence")[0]


def test_the_command_without_a_panel(viewer: Any, qtbot: Any) -> None:
    viewer.add_image(DEEP, name="cells")
    upscale_x2(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 2, timeout=30_000)
    assert viewer.layers[-1].metadata["esc"]["model"] == default_model(Traits(deep=True), 2).entry.name


def test_a_folder_of_several_kinds(viewer: Any, qtbot: Any, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for name, pixels in (("a.png", RGB), ("b.png", DEEP)):
        Still.fromarray(pixels).save(images / name)
    panel = FolderWidget(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.form.model.value == EACH
    assert panel.form.why.isVisibleTo(panel.form)
    panel.form.images.value, panel.form.output.value = str(images), f"{out}/"
    qtbot.waitUntil(lambda: "2 to upscale" in panel.run_bar.estimate.text(), timeout=20_000)
    panel.run_bar.buttons["Run"].native.click()
    qtbot.waitUntil(lambda: "Done" in panel.run_bar.result.text(), timeout=30_000)
    made = {path.name: read_provenance(path)["model"] for path in out.iterdir()}
    assert made == {"a_x2.png": bundled("real photo")[0], "b_x2.png": bundled("fluorescence")[0]}


def test_a_folder_takes_over_only_what_a_person_has_chosen(viewer: Any, form: Any) -> None:
    panel = FolderWidget(viewer)
    viewer.window.add_dock_widget(panel)
    assert panel.form.model.value == EACH
    form.model.value = "esc-nano-x4"
    panel.form.take_over(form)
    assert panel.form.model.value == "esc-nano-x4"
