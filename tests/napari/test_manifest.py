"""The manifest: what it names exists, and reading it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from npe2 import PluginManifest

import napari_esc

FILE = Path(napari_esc.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(FILE)


def test_the_installed_manifest_is_ours(manifest: PluginManifest) -> None:
    installed = PluginManifest.from_distribution("esc-plugin")
    assert installed.contributions == manifest.contributions
    assert manifest.name == "esc-plugin"


def test_every_command_that_is_named_exists(manifest: PluginManifest) -> None:
    """`npe2 validate` doesn't look at this."""
    content = yaml.safe_load(FILE.read_text())["contributions"]
    known = {command["id"] for command in content["commands"]}
    named = [item["command"] for kind in ("widgets", "sample_data", "writers") for item in content[kind]]
    named += [item["command"] for items in content["menus"].values() for item in items]
    assert set(named) == known  # and none is left over


def test_every_menu_is_one_that_napari_fills(manifest: PluginManifest) -> None:
    """Unknown menus are dropped without a word."""
    from napari._app_model.constants._menus import is_menu_contributable

    assert manifest.contributions.menus
    assert all(is_menu_contributable(name) for name in manifest.contributions.menus)


def test_every_python_name_can_be_imported(manifest: PluginManifest) -> None:
    manifest.validate_imports()


def test_the_extra_napari_is_enough_for_every_menu_entry() -> None:
    """These tests run where all extras are; a user has this one, and fine-tuning says itself what it lacks."""
    other = [
        "lightning",
        "tensorboard",
        "matplotlib",
        "onnx",
        "onnxscript",
        "onnxruntime",
        "imagecodecs",
        "distributed",
    ]
    code = (
        "import sys, importlib.util, importlib.abc\n"
        "class Absent(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {other}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "found = importlib.util.find_spec\n"
        f"importlib.util.find_spec = lambda name, package=None: None if name in {other} else found(name, package)\n"
        "from npe2 import PluginManifest\n"
        "PluginManifest.from_distribution('esc-plugin').validate_imports()\n"
        "from esc_plugin.errors import EscError, needs\n"
        "try: needs('train')\n"
        "except EscError: print('absent')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "absent\n", done.stderr


def test_nothing_but_work_imports_torch() -> None:
    """Neither opening the menus, the panel's module, the sample nor the list of models."""
    code = (
        "import sys\n"
        "import napari_esc.finetune_widget, napari_esc.folder_widget\n"
        "import napari_esc.widget, napari_esc.commands, napari_esc.layers, napari_esc.sample, napari_esc.writer\n"
        "from esc_plugin import list_models\n"
        "assert list_models()\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_sample_is_calibrated_and_16_bit() -> None:
    from napari.layers import Image

    from esc_plugin.arrays.synthetic import VOXEL
    from napari_esc.sample import fluorescence_stack

    first, again = fluorescence_stack(planes=4, edge=96), fluorescence_stack(planes=4, edge=96)
    assert [meta["name"] for _, meta, _ in first] == ["nuclei", "filaments"]
    for (data, meta, kind), (same, _, _) in zip(first, again, strict=True):
        assert kind == "image"
        layer = Image(data, **meta)
        assert data.dtype == np.uint16
        assert data.shape == (4, 96, 96)
        np.testing.assert_array_equal(data, same)
        np.testing.assert_allclose(layer.scale, VOXEL)
        assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
        assert data.max() > meta["contrast_limits"][0] * 3


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.zarr"])
def test_saving_by_name_chooses_our_writers(name: str, npe2pm: Any, tmp_path: Path) -> None:
    from napari.layers import Image

    npe2pm.register(PluginManifest.from_distribution("esc-plugin"))
    image = Image(np.zeros((8, 8), np.uint16), scale=(0.5, 0.25), units=("um", "um"))
    assert image.save(str(tmp_path / name)) == [str(tmp_path / name)]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_settings_live_on_napari_s_page(npe2pm: Any) -> None:
    import napari.settings as pages

    from napari_esc import preferences

    assert preferences.preference("threads") == 0  # where the plugin isn't registered
    npe2pm.register(PluginManifest.from_distribution("esc-plugin"))
    try:
        pages._PLUGIN_SETTINGS.clear()
        for name, (section, default) in preferences.DEFAULTS.items():
            assert getattr(pages.get_plugin_settings("esc-plugin"), section).model_dump()[name] == default
        preferences.set_preference("memory_gb", 3.5)
        assert pages.get_plugin_settings("esc-plugin").compute.memory_gb == 3.5
        assert preferences.preference("memory_gb") == 3.5
    finally:
        pages._PLUGIN_SETTINGS.clear()
