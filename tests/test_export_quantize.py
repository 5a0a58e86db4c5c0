"""float16 and int8 in ONNX files: what must stay float32 stays, and what is lost is told."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from PIL import Image

from esc_plugin import EscError, Model
from esc_plugin.errors import ImageError
from esc_plugin.export import check as checking
from esc_plugin.export import onnx as converter
from esc_plugin.export.export import export
from esc_plugin.export.order import Order
from esc_plugin.export.quantize import EDGE, MOST_PICTURES, calibration_inputs, pictures_in
from esc_plugin.network import ESC, EscConfig

from .small import small_config

CLASSIC = replace(small_config(), conv_norms=True)
FP = replace(CLASSIC, head="bicubic", large_kernel="separable", last_norm=True)
FORMS = ["whole", "regions"]


@pytest.fixture(scope="module", autouse=True)
def traced_once() -> Iterator[None]:
    """Trace each network but once: that is the slow part of an export, and another test's."""
    kept: dict[Any, onnx.ModelProto] = {}
    trace = converter._traced

    def traced(order: Order) -> onnx.ModelProto:
        key = order.model.name, order.model.config, order.form, order.size
        if key not in kept:
            kept[key] = trace(order)
        return copy.deepcopy(kept[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(converter, "_traced", traced)
        yield


def random_model(config: EscConfig = CLASSIC) -> Model:
    torch.manual_seed(0)
    return Model(ESC(config).eval().requires_grad_(False), config, "random", "test", "0" * 64)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures as the check draws them, one of them gray and one of 16 bits."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        drawn = checking.picture(40 + number, 50)[0].permute(1, 2, 0).numpy()
        Image.fromarray((drawn * 255).astype(np.uint8)).save(folder / f"{number}.png")
    Image.fromarray((drawn[..., 0] * 255).astype(np.uint8)).save(folder / "gray.png")
    Image.fromarray((drawn[..., 0] * 60000).astype(np.uint16)).save(folder / "deep.png")
    return folder


def exported(folder: Path, photos: Path, precision: str, form: str = "whole", config: EscConfig = CLASSIC, **options):
    pictures = pictures_in(photos) if precision == "int8" else ()
    return export(random_model(config), folder / "a.onnx", form=form, precision=precision, pictures=pictures, **options)


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def types_of(path: Path) -> dict[str, int]:
    """Return the element type of every value in a graph."""
    proto = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True)
    graph = proto.graph
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return known | {value.name: value.data_type for value in graph.initializer}


def weights_in(path: Path, eight: bool) -> list[str]:
    """Name the weights of the convolutions that compute in eight bits, or those that don't; "" is a dynamic kernel."""
    graph = onnx.load(path).graph
    made = {output: node for node in graph.node for output in node.output}
    constant = {value.name for value in graph.initializer}
    found = []
    for node in (node for node in graph.node if node.op_type == "Conv"):
        ends = [made.get(name) for name in node.input[:2]]
        if all(end is not None and end.op_type == "DequantizeLinear" for end in ends) == eight:
            name = ends[1].input[0].removesuffix("_quantized") if eight and ends[1] else node.input[1]
            found.append(name.removeprefix("network.") if eight or name in constant else "")
    return sorted(found)


@pytest.mark.parametrize("form", FORMS)
def test_eight_bits_are_for_convolutions_of_the_blocks_alone(form: str, photos: Path, tmp_path: Path) -> None:
    path = exported(tmp_path, photos, "int8", form, FP).path
    eight = weights_in(path, eight=True)
    assert [name for name in eight if name.startswith("blocks.0.") and "lifted" not in name] == [
        "blocks.0.attn.to_out.weight",
        "blocks.0.attn.to_qkv.weight",
        "blocks.0.convffns.0.aggr.weight",
        "blocks.0.convffns.0.dwc.weight",
        "blocks.0.pconvs.0.aggr.weight",
        "blocks.0.proj.aggr.weight",
        "blocks.0.proj.dwc.weight",
    ]
    assert len(eight) == 7 + 2  # the large kernel has two parts
    assert [name for name in weights_in(path, eight=False) if not name.startswith("to_img")] == [
        "",
        "blocks.0.conv_out.weight",
        "blocks.0.convffns.0.proj.weight",
        "blocks.0.proj.proj.weight",
        "last.weight",
        "proj.weight",
        "repeat",  # the bicubic filter of its head
    ]
    graph = onnx.load(path).graph
    made = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in ("Gemm", "MatMul", "Softmax", "LayerNormalization", "ReduceMean", "ReduceSum"):
            assert "Quantize" not in "".join(made.get(name, "") for name in node.input[1:]), node.name


@pytest.mark.parametrize("form", FORMS)
def test_sixteen_bits_leave_sums_kernels_and_the_last_addition_alone(form: str, photos: Path, tmp_path: Path):
    path = exported(tmp_path, photos, "float16", form).path
    graph, types = onnx.load(path).graph, types_of(path)
    names = {value.name for value in graph.initializer}
    for node in graph.node:
        exact = node.op_type in ("Gemm", "Softmax", "LayerNormalization", "ReduceMean", "ReduceSum")
        if exact or "upscaled" in node.output:
            assert types[node.output[0]] == TensorProto.FLOAT, node.name
        if node.op_type == "Conv" and node.input[1] in names:
            assert types[node.output[0]] == TensorProto.FLOAT16, node.name
    assert {types[value.name] for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}
    # The picture itself reaches the last addition without being rounded.
    image = 0.3 + torch.rand(1, 3, 24, 24) * 1e-5
    order = Order(zeroed(), form, precision="float16")
    converter.convert(order, tmp_path / "zero.onnx")
    inputs = order.example(24, 24) | {"image": image}
    found = converter.run(tmp_path / "zero.onnx", {name: value.numpy() for name, value in inputs.items()}, 1)["upscaled"]
    assert np.array_equal(found, image.repeat_interleave(2, 2).repeat_interleave(2, 3).numpy())


def zeroed() -> Model:
    """Return a network that adds nothing to the picture."""
    model = replace(random_model(), name="zero")
    for parameter in model.network.to_img.parameters():
        parameter.zero_()
    return model


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_files_are_smaller_and_tell_what_they_lose(precision: str, photos: Path, tmp_path: Path):
    whole = exported(tmp_path, photos, "float32").path.stat().st_size
    made = exported(tmp_path, photos, precision)
    order = made.order
    again = checking.check(order, checking_kind(), made.path)
    told = metadata(made.path)
    assert told["precision"] == precision
    assert told["largest_difference"] == f"{max(each.largest for each in again):.2e}"
    assert told["psnr_to_torch"] == f"{min(each.psnr for each in again):.1f} dB"
    assert max(each.largest for each in again) > 1e-6
    assert precision == "int8" or made.path.stat().st_size < whole


def checking_kind():
    from esc_plugin.export.formats import format_of

    return format_of("a.onnx")


def test_eight_bits_that_lose_too_much_are_refused(photos: Path, tmp_path: Path):
    dark = tmp_path / "dark"
    dark.mkdir()
    Image.new("RGB", (32, 32), (1, 1, 1)).save(dark / "dark.png")
    with pytest.raises(EscError, match="dB of torch"):
        exported(tmp_path, dark, "int8")
    assert not (tmp_path / "a.onnx").exists()
    assert exported(tmp_path, dark, "int8", check_it=False).path.exists()


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_of_one_size(precision: str, photos: Path, tmp_path: Path):
    made = exported(tmp_path, photos, precision, "regions", size=(64, 24))
    assert made.differences[0].shape == (1, 3, 64, 24)


def test_pictures_are_cut_from_the_middle_or_mirrored(photos: Path):
    pictures = pictures_in(photos)
    shapes = [
        tuple(x["image"].shape) for x in calibration_inputs(onnx.ModelProto(), Order(random_model(), pictures=pictures))
    ]
    assert shapes == [(1, 3, 40 + n, 50) for n in range(4)] + [(1, 3, 43, 50)] * 2
    exact = [
        x["image"] for x in calibration_inputs(onnx.ModelProto(), Order(random_model(), size=(64, 24), pictures=pictures))
    ]
    assert {x.shape for x in exact} == {(1, 3, 64, 24)}
    assert all(x.dtype == np.float32 and 0 <= x.min() < x.max() <= 1 for x in exact)


def test_not_all_of_many_pictures_are_looked_at(photos: Path):
    many = pictures_in(photos) * 50
    assert (
        MOST_PICTURES / 2
        < len(list(calibration_inputs(onnx.ModelProto(), Order(random_model(), pictures=many))))
        <= MOST_PICTURES
    )
    assert 4 * CLASSIC.window_size <= EDGE


def test_a_crop_is_calibrated_with_its_own_means(photos: Path, tmp_path: Path):
    model = random_model()
    order = Order(model, "regions", pictures=pictures_in(photos)[:1])
    converter.convert(order, tmp_path / "a.onnx")
    (inputs,) = calibration_inputs(onnx.load(tmp_path / "a.onnx"), order)
    found = converter.run(tmp_path / "a.onnx", inputs, 1)
    with torch.no_grad():
        expected = model.network(torch.from_numpy(inputs["image"])).numpy()
    assert np.abs(found["found"] - inputs["means"]).max() < 2e-4
    assert np.abs(found["upscaled"] - expected).max() < 1e-3


def test_what_pictures_are_for(photos: Path, tmp_path: Path):
    with pytest.raises(EscError, match="int8 needs pictures"):
        export(random_model(), tmp_path / "a.onnx", precision="int8")
    with pytest.raises(EscError, match="float16 needs none"):
        export(random_model(), tmp_path / "a.onnx", precision="float16", pictures=pictures_in(photos))
    assert not list(tmp_path.iterdir())


def test_folders_without_pictures(tmp_path: Path):
    with pytest.raises(ImageError, match="no folder"):
        pictures_in(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(ImageError, match=r"no .*image"):
        pictures_in(tmp_path)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(ImageError, match=r"broken\.png"):
        exported(tmp_path, folder, "int8")
    assert not (tmp_path / "a.onnx").exists()
