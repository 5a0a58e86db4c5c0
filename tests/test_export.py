"""ONNX files: the same values as torch for any batch and size, from standard operators, and no half-written file."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from esc_plugin import EscError, Model, cli
from esc_plugin.export import onnx as export
from esc_plugin.export.onnx import compare_with_torch, export_onnx
from esc_plugin.export.portable import PortableConvAttn, portable
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
SHAPES = [(2, 3, 21, 13), (1, 3, 8, 16), (3, 3, 5, 2), (1, 3, 1, 1)]  # windows are 8 pixels


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
    assert set(export_onnx(model, path).errors) == {(2, 3, 21, 11), (1, 3, 5, 18)}
    return model, path


@pytest.mark.parametrize("name", CONFIGS)
def test_every_kind_of_network_agrees_with_torch_at_one_size(name: str, tmp_path: Path) -> None:
    exported = export_onnx(random_model(CONFIGS[name]), tmp_path / "a.onnx", size=(13, 21))
    assert max(exported.errors.values()) < 1e-4
    assert_standard(exported.path)


#: Of those, the ones in which another part than in `classic` depends on the size.
OPEN = ("ESC-RIB, nearest+conv x1, unshuffle", "DySample")


@pytest.mark.slow  # torch reasons about sizes that are left open, some of a minute for each network
@pytest.mark.parametrize("name", OPEN)
def test_every_kind_of_network_agrees_with_torch(name: str, tmp_path: Path) -> None:
    model = random_model(CONFIGS[name])
    assert_agrees(model, export_onnx(model, tmp_path / "a.onnx", check=False).path)


def test_a_classic_network_agrees_with_torch(classic) -> None:
    assert_agrees(*classic)


def assert_agrees(model: Model, path: Path) -> None:
    errors = compare_with_torch(path, model.network, SHAPES)
    assert list(errors) == SHAPES
    assert max(errors.values()) < 1e-4
    assert_standard(path)


def assert_standard(path: Path) -> None:
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [entry.domain for entry in proto.opset_import] == [""]
    assert {node.domain for node in proto.graph.node} == {""}
    assert not proto.functions


def test_a_trained_file_agrees(shared, tmp_path: Path) -> None:
    model = read_model(shared / "golden" / "esc_fp_x4.safetensors")
    assert max(export_onnx(model, tmp_path / "fp.onnx", size=(13, 21)).errors.values()) < 1e-4


def test_the_file_says_what_it_is_and_nothing_of_the_machine(classic) -> None:
    model, path = classic
    proto = onnx.load(path)
    said = {entry.key: entry.value for entry in proto.metadata_props}
    assert said["name"] == "random"
    assert said["scale"] == "2"
    assert said["license"] == "CC-BY-4.0"
    assert EscConfig.from_dict(json.loads(said["config"])) == model.config
    assert json.loads(said["input"])["range"] == [0, 1]
    axes = [axis.dim_param or axis.dim_value for axis in proto.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", 3, "height", "width"]
    assert str(Path(torch.__file__).parent).encode() not in path.read_bytes()


def test_no_attention_bias_is_stored_as_a_matrix(classic) -> None:
    """It is made from its small table when the file is loaded; as matrices, ESC x2 would take 84 MB instead of 4."""
    model, path = classic
    stored = sum(len(tensor.raw_data) for tensor in onnx.load(path).graph.initializer)
    matrix = 4 * WIDE.num_heads * WIDE.window_size**4
    assert stored < sum(4 * p.numel() for p in model.network.parameters()) + matrix / 2


def test_another_operator_set(tmp_path: Path) -> None:
    exported = export_onnx(random_model(CLASSIC), tmp_path / "a.onnx", opset=23, size=(13, 21))
    assert max(exported.errors.values()) < 1e-4
    assert onnx.load(exported.path).opset_import[0].version == 23


@pytest.mark.parametrize(
    "config", [CLASSIC, replace(CLASSIC, large_kernel="separable", head="bicubic")], ids=lambda config: config.head
)
def test_the_portable_layer_computes_the_same(config: EscConfig) -> None:
    network = random_model(config).network
    copy, image = portable(network), torch.rand(3, 3, 11, 19)
    assert any(isinstance(module, PortableConvAttn) for module in copy.modules())
    assert not any(isinstance(module, PortableConvAttn) for module in network.modules())
    assert sum(isinstance(module, ConvAttn) for module in copy.modules()) == CLASSIC.conv_blocks
    assert torch.allclose(copy(image), network(image), atol=1e-5)


@pytest.mark.parametrize(
    ("config", "name", "options", "message"),
    [
        (small_config(head="lte"), "a.onnx", {}, "any scale"),
        (CLASSIC, "a.pt", {}, "must end in .onnx"),
        (CLASSIC, "nowhere/a.onnx", {}, "no folder"),
        (CLASSIC, "a.onnx", {"opset": 11}, "from 18 to 23"),
        (CLASSIC, "a.onnx", {"size": (0, 8)}, "from 1 on"),
    ],
)
def test_what_cannot_be_is_said_first(config: EscConfig, name: str, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(EscError, match=message):
        export_onnx(random_model(config), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_disagrees_is_not_kept(classic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.onnx"
    target.write_bytes(b"older")
    torch.manual_seed(1)
    monkeypatch.setattr(export, "_trace", lambda *arguments: onnx.load(classic[1]))  # of another network
    with pytest.raises(EscError, match=r"differ by .*nothing was written"):
        export_onnx(random_model(WIDE), target)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.onnx", b"older")]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EscError, match=rf"install them with: pip install {package}$"):
        export_onnx(random_model(CLASSIC), tmp_path / "a.onnx")


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
