"""ncnn's files: the same values as torch at any size from a window on, whole or region by region, and none half-written."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from esc_plugin import EscError
from esc_plugin.export import ncnn as converter
from esc_plugin.export.check import compare
from esc_plugin.export.export import export
from esc_plugin.export.formats import format_of
from esc_plugin.export.ncnn_layers import LAYERS, MODULES
from esc_plugin.export.order import Order
from esc_plugin.export.portable import replaced
from esc_plugin.network import EscConfig
from esc_plugin.weights.model import read_model

from .small import small_config
from .test_export import CLASSIC, CONFIGS, random_model

KINDS = [name for name, config in CONFIGS.items() if config.head != "lte"]


@pytest.fixture
def tools() -> None:
    for package in ("pnnx", "ncnn"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install -e '.[ncnn]'")


@pytest.mark.parametrize("form", MODULES)
@pytest.mark.parametrize("name", KINDS)
def test_what_pnnx_is_given_computes_the_same(name: str, form: str) -> None:
    """Needs neither pnnx nor ncnn, so it runs everywhere."""
    order = Order(random_model(CONFIGS[name]), form)
    module = MODULES[form](replaced(order.model.network, LAYERS), order.scale)
    for size in ((order.window, order.window), (order.window + 5, 2 * order.window + 3)):
        example = tuple(order.example(*size).values())
        made, expected = module(*example), order.network()(*example)
        for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (made, expected)), strict=True):
            np.testing.assert_allclose(a.reshape(b.shape).numpy(), b.numpy(), atol=2e-5)


@pytest.mark.parametrize("form", MODULES)
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_network_agrees_with_torch(name: str, form: str, tmp_path: Path, tools: None) -> None:
    model = random_model(CONFIGS[name])
    exported = export(model, tmp_path / "a.param", form=form)
    assert len(exported.differences) == 2  # it has been checked at a size that is no multiple of a window, too
    assert max(difference.largest for difference in exported.differences) < 1e-4
    order = exported.order
    small = compare(order, format_of(exported.path), exported.path, order.example(order.window, order.window + 1))
    assert small.largest < 1e-4


def test_a_trained_file_agrees_at_one_size_and_in_half_the_bytes(shared, tmp_path: Path, tools: None) -> None:
    model, sizes = read_model(shared / "golden" / "esc_fp_x2.safetensors"), {}
    for precision, limit in (("float32", 1e-4), ("float16", 1e-2)):
        exported = export(model, tmp_path / f"{precision}.param", size=(21, 13), precision=precision)
        assert exported.differences[0].largest < limit
        sizes[precision] = exported.path.with_suffix(".bin").stat().st_size
    assert sizes["float16"] < 0.6 * sizes["float32"]


def test_a_crop_is_what_it_is_in_the_whole(tmp_path: Path, tools: None) -> None:
    """Away from cut borders a region has the pixels of the whole, given the means of the whole."""
    model = random_model(replace(CLASSIC, n_blocks=1))
    whole, regions = tmp_path / "whole.param", tmp_path / "regions.param"
    export(model, whole, check_it=False)
    export(model, regions, form="regions", check_it=False)
    order = Order(model, "regions")
    height, width = 2 * order.reach + order.window + 3, order.reach + 5
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).numpy()
    (expected,) = converter.run(whole, {"image": image}, 1).values()
    means, everywhere = np.zeros(order.means, np.float32), np.ones((1, 1, height, width), np.float32)
    for _ in range(order.means[0]):  # a layer's means only depend on those before it
        means = converter.run(regions, {"image": image, "means": means, "interior": everywhere}, 1)["found"]
    cut = order.window
    crop = {"image": image[:, :, cut:].copy(), "means": means, "interior": everywhere[:, :, cut:].copy()}
    found = converter.run(regions, crop, 1)["upscaled"]
    sure = order.reach * model.scale
    np.testing.assert_allclose(found[:, :, sure:], expected[:, :, cut * model.scale + sure :], atol=2e-5)
    assert np.abs(found[:, :, :2] - expected[:, :, cut * model.scale :][:, :, :2]).max() > 1e-4  # at the cut, it can't be


def test_names_are_those_that_programs_ask_for_and_notes_lie_beside(tmp_path: Path, tools: None) -> None:
    exported = export(random_model(CLASSIC), tmp_path / "a.param", check_it=False)
    lines = [line.split() for line in exported.path.read_text().splitlines()]
    assert lines[2][:2] == ["Input", "data"]
    assert "output" in lines[-1]
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["name"] == "random"
    assert EscConfig.from_dict(json.loads(facts["config"])) == CLASSIC
    assert {path.name for path in tmp_path.iterdir()} == {"a.param", "a.bin", "a.json"}


def test_an_image_smaller_than_a_window_is_refused(tmp_path: Path, tools: None) -> None:
    with pytest.raises(EscError, match=r"\(8, 7\) is less than a window, 8 x 8"):
        export(random_model(CLASSIC), tmp_path / "a.param", size=(8, 7))
    assert not list(tmp_path.iterdir())


def test_eight_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EscError, match="not in 'int8'"):
        export(random_model(CLASSIC), tmp_path / "a.param", precision="int8")


def test_any_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EscError, match="any scale"):
        converter.convert(Order(random_model(small_config(head="lte"))), tmp_path / "a.param")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('no such operator')", "it ended with 1.*no such operator"),
        ("pass", "it ended with 0"),  # as if all went well, but there are no files
        (
            "open('network.ncnn.bin', 'w'); open('network.ncnn.param', 'w').write('7767517\\n1 1\\nF.pad a 0 1 in0')",
            "nothing in ncnn for F.pad",
        ),
    ],
    ids=["fails", "writes nothing", "leaves an operator"],
)
def test_a_conversion_that_fails_leaves_no_file(
    program: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = converter.subprocess.run

    def other(command: list[str], **options: object) -> object:
        return run([sys.executable, "-c", program], **options)  # type: ignore[call-overload]

    monkeypatch.setitem(sys.modules, "pnnx", SimpleNamespace(EXEC_PATH="pnnx"))
    monkeypatch.setattr("esc_plugin.export.export.needs", lambda extra: None)
    monkeypatch.setattr(converter.subprocess, "run", other)
    (tmp_path / "a.param").write_text("older")
    with pytest.raises(EscError, match=message):
        export(random_model(CLASSIC), tmp_path / "a.param")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.param", "older")]


def test_a_program_that_cannot_start_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pnnx", SimpleNamespace(EXEC_PATH=str(tmp_path / "nowhere" / "pnnx")))
    with pytest.raises(EscError, match="can't start pnnx"):
        converter.convert(Order(random_model(CLASSIC)), tmp_path / "a.param")


def test_a_file_that_ncnn_cannot_load_is_an_error(tmp_path: Path, tools: None) -> None:
    (tmp_path / "a.param").write_text("7767517\n1 1\nNoSuchLayer a 0 1 data\n")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(EscError, match="can't load"):
        converter.run(tmp_path / "a.param", {}, 1)


@pytest.mark.parametrize("package", ["pnnx", "ncnn"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EscError, match=rf"pip install .*{package}"):
        export(random_model(CLASSIC), tmp_path / "a.param")
