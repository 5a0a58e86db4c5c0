"""How much of a result is the model's, and cleaning at the same size: in all ways that lead to a layer or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image

from esc_plugin import EscError, upscale
from esc_plugin.files import read_picture, read_provenance
from esc_plugin.session import work
from esc_plugin.session.task import Settings, Task
from napari_esc.geometry import whole_region
from napari_esc.layers import upscale_layer, upscale_layers

from .layers_to_try import kinds, pixels
from .test_fidelity import MODEL, cells, layer_of, made, order_of, part_of, plain
from .test_folder_widget import folder, wait_for
from .test_folder_widget import open_panel as open_folder_panel
from .test_folder_widget import run as run_folder
from .test_geometry import outer_corners
from .test_panel import open_panel, run, viewer

__all__ = ["folder", "open_folder_panel", "open_panel", "viewer"]

CHOICES: dict[str, dict[str, Any]] = {
    "half": {"strength": 0.5, "factor": (2.0, 2.0)},
    "none": {"strength": 0.0, "factor": (1.5, 1.5)},
    "cleaned": {"factor": (1.0, 1.0)},
    "cleaned by half": {"strength": 0.5, "factor": (1.0, 1.0)},
    "shrunk": {"factor": (0.75, 0.75)},
}


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("kind", ["z-stack", "NaN and float"])
def test_all_ways_lead_to_the_same_pixels(kind: str, choices: dict[str, Any]) -> None:
    """A preview and what is made when it is looked at are parts of the result, which is that of the core."""
    layer = layer_of(kind)
    whole = made(layer, **choices)
    passes = {"passes": 1} if choices["factor"][0] <= 1 else {}
    options = {
        "axes": "ZYX",
        "nan": "keep",
        "scale": choices["factor"][0],
        "strength": choices.get("strength", 1.0),
        **passes,
    }
    np.testing.assert_array_equal(whole, upscale(layer.data, MODEL, device="cpu", **options))
    order = order_of(layer, (slice(1, 2), slice(3, 35), slice(11, 44)), **choices)
    for way in (order.preview, order.lazy, order.run):
        (result,) = way()
        np.testing.assert_array_equal(plain(result), part_of(whole, result.task), err_msg=way.__name__)
        strength = choices.get("strength", 1.0)
        assert (result.record["strength"], result.record["passes"]) == (strength, 1 if strength else 0)


def test_another_strength_needs_no_other_survey_and_makes_other_pixels() -> None:
    layer, region = layer_of("z-stack"), (slice(1, 2), slice(3, 35), slice(11, 44))
    found = {strength: order_of(layer, region, strength=strength).preview()[0] for strength in (1.0, 0.5, 0.0)}
    assert len({result.record["survey"]["digest"] for result in found.values()}) == 1
    network, half, interpolated = (plain(result).astype(float) for result in found.values())
    assert np.abs(network - interpolated).max() > 10
    np.testing.assert_allclose(half, (network + interpolated) / 2, atol=1)


@pytest.mark.parametrize("store", ["", "both.ome.tif"])
def test_layers_have_the_strength_that_notebooks_ask_for(store: str, tmp_path: Path) -> None:
    layers = [Image(cells(channel)[1], name=channel) for channel in ("nuclei", "filaments")]
    where = {"store": tmp_path / store} if store else {}
    both = upscale_layers(layers, MODEL, strength=0.25, device="cpu", **where)
    for layer, (data, properties, _) in zip(layers, both, strict=True):
        np.testing.assert_array_equal(np.asarray(data), upscale(layer.data, MODEL, strength=0.25, device="cpu"))
        assert properties["metadata"]["esc"]["strength"] == 0.25
    with pytest.raises(EscError, match="strength must be a number from 0 to 1, not 2"):
        upscale_layer(layers[0], MODEL, strength=2)


@pytest.mark.parametrize("kind", kinds())
def test_a_cleaned_layer_lies_where_its_source_does(kind: str, nearest: str) -> None:
    data, properties = kinds()[kind]
    layer = Image(data, name="cells", **properties)
    pixels_of, looks, _ = upscale_layer(layer, nearest, factor=1)
    cleaned = Image(pixels_of, **looks)
    assert cleaned.name == "cells [cleaned]"
    assert whole_region(cleaned) == whole_region(layer)
    np.testing.assert_allclose(outer_corners(cleaned, whole_region(cleaned)), outer_corners(layer, whole_region(layer)))


def test_cleaning_takes_as_long_as_the_network_does() -> None:
    image = pixels(300, 300)
    for factor in (1.0, 0.5):
        task = Task([image], "YX", (slice(0, 300), slice(0, 300)), Settings(MODEL, (factor, factor), device="cpu"))
        larger = Task([image], "YX", task.region, Settings(MODEL, (2.0, 2.0), device="cpu"))
        assert work.estimate(task).seconds == pytest.approx(work.estimate(larger).seconds, rel=0.01)


# By the panels


def test_the_panel_cleans_with_the_strength_that_it_shows(viewer: Any, qtbot: Any, open_panel: Callable[..., Any]) -> None:
    source = viewer.add_image(cells()[1], name="cells", scale=(0.5, 0.5))
    panel = open_panel()
    panel.form.model.value, panel.form.device.value = MODEL, "cpu"
    panel.form.factor.value, panel.form.strength.value = 1, 0.5
    assert panel.form.factor.native.text() == "x 1: clean"
    assert panel.form.strength.native.accessibleName() == "Strength"
    run(panel, qtbot)
    result = viewer.layers[-1]
    assert result.name == "cells [cleaned]"
    np.testing.assert_array_equal(result.scale, source.scale)
    np.testing.assert_array_equal(result.data, upscale(source.data, MODEL, scale=1, passes=1, strength=0.5, device="cpu"))


def test_local_averages_would_undo_what_cleaning_does(viewer: Any, open_panel: Callable[..., Any]) -> None:
    viewer.add_image(pixels(6, 20, 20), scale=(3, 1, 1), axis_labels=("z", "y", "x"))
    panel = open_panel()
    panel.form.consistency.value, panel.form.factor.value = True, 1
    assert panel.form.consistency.text == "Averages not kept: the size stays"
    assert not panel.order().settings.consistency
    panel.form.scale.value = "isotropic"  # where it is planes that are averaged
    assert panel.order().settings.consistency


def test_no_text_widens_the_panel(viewer: Any, open_panel: Callable[..., Any]) -> None:
    """What was wider than the panel was cut off, with the buttons at its right."""
    viewer.add_image(pixels(20, 20))
    form = open_panel().form
    form.more.value = True
    width = form.minimumSizeHint().width()
    for factor in (1, 2.5):
        form.factor.value = factor
        assert form.minimumSizeHint().width() == width


def test_a_folder_is_cleaned(viewer: Any, qtbot: Any, open_folder_panel: Any, folder: Path, tmp_path: Path) -> None:
    panel = open_folder_panel()
    panel.form.model.value = MODEL
    panel.form.output.value, panel.form.factor.value, panel.form.strength.value = str(tmp_path / "out"), 1, 0.75
    wait_for(panel, qtbot, "3 to upscale.")
    assert run_folder(panel, qtbot).startswith("Done: 2 upscaled")
    image, result = read_picture(folder / "cells.ome.tif"), tmp_path / "out" / "cells_x1.ome.tif"
    wanted = upscale(np.asarray(image.pixels), MODEL, axes=image.axes, scale=1, passes=1, strength=0.75, device="cpu")
    np.testing.assert_array_equal(np.asarray(read_picture(result).pixels), wanted)
    record = read_provenance(result)
    assert (record["strength"], record["passes"]) == (0.75, 1)
