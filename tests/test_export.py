"""ONNX files: the same values as torch at any size, whole or region by region, standard operators, no half-written file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from esc_plugin import EscError, Model, cli
from esc_plugin.export import onnx as converter
from esc_plugin.export.check import compare
from esc_plugin.export.export import export
from esc_plugin.export.formats import format_of
from esc_plugin.export.order import Order, reach_of
from esc_plugin.export.portable import PORTABLE, FoldedConvAttn, PortableConvAttn, Regions, replaced
from esc_plugin.network import ESC, EscConfig
from esc_plugin.network.block import Block
from esc_plugin.network.conv_attention import ConvAttn
from esc_plugin.weights.model import read_model

from .small import small_config

CLASSIC = small_config()
WIDE = replace(CLASSIC, window_size=16)
UNI = replace(CLASSIC, head="uni", uni_method="conv", uni_version=3, mid_dim=12)
#: Each kind of bias, kernel, skip, folding and head at least once.
CONFIGS = {
    "classic x3, norms": replace(CLASSIC, scale=3, conv_norms=True),
    "ESC-FP": replace(CLASSIC, head="bicubic", large_kernel="separable", conv_norms=True, last_norm=True),
    "FlashBias, pa_up": replace(UNI, position="flash", position_rank=4, uni_method="pa_up", scale=3),
    "transpose+conv": replace(UNI, uni_method="transpose+conv", scale=4),
    "ESC-Real": replace(CLASSIC, head="real", scale=4),
    "DySample": replace(CLASSIC, head="dysample", scale=4, dysample_kernel=3),
    "ESC-RIB, nearest+conv x1, unshuffle": replace(
        UNI, position="rib", position_rank=4, rib_hidden=6, rib_freqs=2, uni_method="nearest+conv", scale=1, unshuffle=4
    ),
}
CONFIGS["LTE"] = small_config(head="lte")
#: One form of each is enough, as they differ in the means alone, and an export takes seconds. Wholes of the other kinds have
#: tests of their own: classic ones, of one size, and of LTE.
FORM_OF = {name: "whole" if name in ("ESC-FP", "FlashBias, pa_up", "ESC-Real") else "regions" for name in CONFIGS}
SIZES = [(21, 13), (8, 16), (5, 2), (1, 1)]  # windows are 8 pixels


def random_model(config: EscConfig, name: str = "random") -> Model:
    network = ESC(config)
    with torch.no_grad():
        for block in network.blocks:
            assert isinstance(block, Block)
            for table in (p for n, p in block.attn.named_parameters() if "bias" in n):
                table += torch.randn_like(table)  # as made, they are nearly zero: a wrong one would not be seen
    return Model(network.eval().requires_grad_(False), config, name, "test", "0" * 64, {"license": "CC-BY-4.0"})


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    torch.manual_seed(0)
    model, path = random_model(WIDE), tmp_path_factory.mktemp("export") / "classic.onnx"
    differences = export(model, path).differences
    assert [difference.shape for difference in differences] == [(1, 3, 21, 11), (1, 3, 5, 18), (1, 3, 48, 80)]
    return model, path


@pytest.mark.parametrize(("name", "form"), FORM_OF.items())
def test_every_kind_of_network_agrees_with_torch(name: str, form: str, tmp_path: Path) -> None:
    model, path = random_model(CONFIGS[name]), tmp_path / "a.onnx"
    export(model, path, form=form, check_it=False)
    assert_agrees(Order(model, form), path)


def test_a_classic_network_agrees_with_torch(classic) -> None:
    model, path = classic
    assert_agrees(Order(model), path)


def assert_agrees(order: Order, path: Path) -> None:
    for size in SIZES:
        assert compare(order, format_of(path), path, order.example(*size)).largest < 1e-4, size
    assert_standard(path)


def assert_standard(path: Path) -> None:
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [entry.domain for entry in proto.opset_import] == [""]
    assert {node.domain for node in proto.graph.node} == {""}
    assert not proto.functions


@pytest.mark.parametrize("name", ["DySample", "ESC-RIB, nearest+conv x1, unshuffle"])
def test_one_size_only(name: str, tmp_path: Path) -> None:
    exported = export(random_model(CONFIGS[name]), tmp_path / "a.onnx", size=(13, 21))
    assert [difference.shape for difference in exported.differences] == [(1, 3, 13, 21)]
    assert_standard(exported.path)


def test_a_network_for_any_scale_at_another_one(tmp_path: Path) -> None:
    exported = export(random_model(CONFIGS["LTE"]), tmp_path / "a.onnx", scale=3)
    assert len(exported.differences) == 3
    said = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    assert said["scale"] == "3"


def test_a_trained_file_agrees(shared, tmp_path: Path) -> None:
    model = read_model(shared / "golden" / "esc_fp_x4.safetensors")
    assert export(model, tmp_path / "fp.onnx", size=(13, 21)).differences[0].largest < 1e-4


@pytest.mark.parametrize("name", ["ESC-FP", "ESC-RIB, nearest+conv x1, unshuffle"])
def test_crops_are_what_they_are_in_the_whole(name: str) -> None:
    """Passing over crops until the means don't change gives those of the whole, and with them the same pixels."""
    model = random_model(CONFIGS[name])
    order, scale = Order(model, "regions"), model.scale
    module, window = Regions(replaced(model.network), model.scale), order.window
    height, width = 2 * order.reach + window + 3, order.reach + 5
    image = torch.rand(1, 3, height, width)
    whole, cut = model.network(image), order.reach + window
    crops = {(0, cut): (0, min(cut + order.reach, height)), (cut, height): (window, height)}
    means = torch.zeros(order.means)
    for _ in range(order.means[0] + 1):
        total = torch.zeros(order.means, dtype=torch.float64)
        parts = []
        for (top, bottom), (start, stop) in crops.items():
            interior = torch.zeros(1, 1, stop - start, width)
            interior[:, :, top - start : bottom - start] = 1
            upscaled, found = module(image[:, :, start:stop], means, interior)
            parts.append(upscaled[:, :, (top - start) * scale : (bottom - start) * scale])
            total += found.double() * interior[:, :, :: model.config.unshuffle].mean((1, 3)).sum()
        means = (total / -(-height // model.config.unshuffle)).float()
    np.testing.assert_allclose(torch.cat(parts, 2).numpy(), whole.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_lies_beyond_the_reach_does_not_matter(name: str) -> None:
    model = random_model(CONFIGS[name])
    module, far = Regions(replaced(model.network), model.scale), reach_of(model.network)
    order = Order(model, "regions")
    image = torch.rand(1, 3, 2 * far + order.window, 2 * far + order.window)
    row = far + order.window // 2
    other = image.clone()
    other[:, :, 0], other[:, :, -1], other[..., 0], other[..., -1] = 0, 1, 1, 0
    means, interior = torch.randn(order.means), torch.ones(1, 1, *image.shape[2:])
    a, b = (module(x, means, interior)[0][..., row * model.scale, row * model.scale] for x in (image, other))
    assert torch.equal(a, b)
    assert far % order.window == 0


def test_the_file_says_what_it_is_and_nothing_of_the_machine(classic) -> None:
    model, path = classic
    proto = onnx.load(path)
    said = {entry.key: entry.value for entry in proto.metadata_props}
    assert said["name"] == "random"
    assert said["scale"] == "2"
    assert said["license"] == "CC-BY-4.0"
    assert said["window"] == "16"
    assert said["reach"] == str(reach_of(model.network))
    assert float(said["largest_difference"]) < 1e-4
    assert EscConfig.from_dict(json.loads(said["config"])) == model.config
    assert json.loads(said["input"])["range"] == [0, 1]
    axes = [axis.dim_param or axis.dim_value for axis in proto.graph.input[0].type.tensor_type.shape.dim]
    assert axes == [1, 3, "height", "width"]
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()


def test_no_piece_of_the_attention_is_empty(classic) -> None:
    """Runtimes on graphics cards refuse tensors without values."""
    proto = onnx.load(classic[1])
    names = [node.output[0] for node in proto.graph.node if node.op_type == "Softmax"]
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for height, width in ((5, 5), (16, 80), (48, 48)):
        scores = session.run(names, {"image": np.zeros((1, 3, height, width), np.float32)})
        assert min(piece.size for piece in scores) > 0


def test_no_attention_bias_is_stored_as_a_matrix(classic) -> None:
    """It is made from its small table when the file is loaded; as matrices, ESC x2 would take 84 MB instead of 4."""
    model, path = classic
    stored = sum(len(tensor.raw_data) for tensor in onnx.load(path).graph.initializer)
    matrix = 4 * WIDE.num_heads * WIDE.window_size**4
    assert stored < sum(4 * p.numel() for p in model.network.parameters()) + matrix / 2


def test_another_operator_set(tmp_path: Path) -> None:
    exported = export(random_model(CLASSIC), tmp_path / "a.onnx", opset=23, size=(13, 21))
    assert onnx.load(exported.path).opset_import[0].version == 23


@pytest.mark.parametrize("name", CONFIGS)
def test_the_portable_network_computes_the_same(name: str) -> None:
    network, image = random_model(CONFIGS[name]).network, torch.rand(1, 3, 11, 19)
    copy = replaced(network)
    assert any(isinstance(module, PortableConvAttn) for module in copy.modules())
    assert not any(isinstance(module, PortableConvAttn) for module in network.modules())
    assert torch.allclose(copy(image), network(image), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "name", "options", "message"),
    [
        (CLASSIC, "a.onnx", {"scale": 3}, "has the scale 2"),
        (small_config(head="lte"), "a.onnx", {"scale": 0}, "from 1 on, not 0"),
        (CLASSIC, "a.pt", {}, "must end in .onnx"),
        (CLASSIC, "nowhere/a.onnx", {}, "no folder"),
        (CLASSIC, "a.onnx", {"opset": 11}, "from 18 to 23"),
        (CLASSIC, "a.onnx", {"size": (0, 8)}, "from 1 on"),
        (CLASSIC, "a.onnx", {"form": "tiles"}, "whole or regions, not 'tiles'"),
        (CLASSIC, "a.onnx", {"precision": "int3"}, "not in 'int3'"),
    ],
)
def test_what_cannot_be_is_said_first(config: EscConfig, name: str, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(EscError, match=message):
        export(random_model(config), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_disagrees_is_not_kept(classic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.onnx"
    target.write_bytes(b"older")
    torch.manual_seed(1)
    monkeypatch.setattr(converter, "_traced", lambda order: onnx.load(classic[1]))  # of another network
    with pytest.raises(EscError, match=r"differ by .*nothing was written"):
        export(random_model(WIDE), target)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.onnx", b"older")]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EscError, match=rf"install them with: pip install {package}$"):
        export(random_model(CLASSIC), tmp_path / "a.onnx")


def test_the_command_and_a_fixed_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("esc_plugin.cli.study.open_model", lambda name, **_: random_model(CLASSIC, name))
    arguments = ["export", "mine", tmp_path / "out.onnx", "--size", 9, 20]
    monkeypatch.setattr(sys, "argv", ["esc-sr", *map(str, arguments)])
    with pytest.raises(SystemExit) as done:
        cli.main()
    said = capsys.readouterr().out
    assert not done.value.code, said
    assert "1 x 3 x 9 x 20" in said.replace("\n", " ")
    graph = onnx.load(tmp_path / "out.onnx").graph
    for value, shape in ((graph.input[0], [1, 3, 9, 20]), (graph.output[0], [1, 3, 18, 40])):
        assert [axis.dim_value for axis in value.type.tensor_type.shape.dim] == shape


def test_a_folded_kernel_is_the_whole_one() -> None:
    network, image = random_model(CLASSIC).network, torch.rand(1, 3, 19, 23)
    folded = replaced(network, PORTABLE | {ConvAttn: FoldedConvAttn})
    assert any(isinstance(module, FoldedConvAttn) for module in folded.modules())
    assert torch.allclose(folded(image), replaced(network)(image), rtol=0, atol=1e-5)
