"""Files for ExecuTorch, Core ML and OpenVINO: the same values as torch where their runtime runs, and what they say."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from esc_plugin import EscError
from esc_plugin.export import graph
from esc_plugin.export.check import compare
from esc_plugin.export.export import PACKAGE_MARK, export
from esc_plugin.export.formats import format_of
from esc_plugin.export.graph import graph_of
from esc_plugin.export.order import Order
from esc_plugin.export.quiet import quiet
from esc_plugin.weights.model import read_model

from .oracle_mil import evaluate
from .test_export import CONFIGS, FORM_OF, random_model

# What these packages use of others that is on its way out is theirs to mend.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("DeprecationWarning", "FutureWarning")]

#: A multiple of every window here, unfolded or not, and neither edge the other's.
SIZE = (32, 64)


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} isn't installed")


MOBILE = [
    pytest.param(".pte", marks=needs("executorch")),
    pytest.param(".mlpackage", marks=needs("coremltools")),
    pytest.param(".xml", marks=needs("openvino")),
]


def outputs(order: Order, path: Path) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    """Return what a file makes of a picture, by its own runtime or, of Core ML's, by ours, and what torch makes of it."""
    assert order.size
    inputs = order.example(*order.size)
    arrays = {name: value.numpy() for name, value in inputs.items()}
    kind = format_of(path)
    found = kind.converter.run(path, arrays, 1) if kind.runs else evaluate(path, arrays)
    with torch.inference_mode():
        made = order.network()(*inputs.values())
    return found, dict(zip(order.outputs, made if isinstance(made, tuple) else (made,), strict=True))


@pytest.mark.parametrize(("name", "form"), FORM_OF.items())
def test_the_graph_computes_the_same(name: str, form: str) -> None:
    """With norms as convolutions, shifted copies for dynamic filters, and without what does nothing."""
    order = Order(random_model(CONFIGS[name]), form, (21, 13))
    inputs = order.example(21, 13)
    made, expected = graph_of(order, 21, 13).module()(*inputs.values()), order.network()(*inputs.values())
    for value, wanted in zip(*((x if isinstance(x, tuple) else (x,)) for x in (made, expected)), strict=True):
        assert torch.allclose(value, wanted, atol=1e-5)


def test_the_graph_has_constants_only_as_buffers_and_nothing_for_nothing() -> None:
    """Delegates refuse other constants, and copies of what is not changed cut the graph into pieces."""
    program = graph_of(Order(random_model(CONFIGS["classic x3, norms"]), "regions", SIZE), *SIZE)
    assert not program.graph_signature.lifted_tensor_constants
    for node in program.graph.nodes:
        if node.target in graph.NO_OPERATIONS:
            assert node.meta["val"].shape != node.args[0].meta["val"].shape
    names = {str(node.target) for node in program.graph.nodes}
    assert not names & {"aten.layer_norm.default", "aten.alias.default"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", MOBILE)
@pytest.mark.parametrize("form", ["whole", "regions"])
def test_a_trained_file_agrees_with_torch(suffix: str, form: str, shared: Path, tmp_path: Path) -> None:
    model, path = read_model(shared / "golden" / "esc_fp_x2.safetensors"), tmp_path / f"a{suffix}"
    export(model, path, form=form, size=SIZE)
    found, expected = outputs(Order(model, form, SIZE), path)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert np.abs(found[name] - value.numpy()).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("suffix", MOBILE)
@pytest.mark.parametrize("name", ["DySample", "ESC-RIB, nearest+conv x1, unshuffle"])
def test_other_heads_and_biases_agree_with_torch(suffix: str, name: str, tmp_path: Path) -> None:
    model, path = random_model(CONFIGS[name]), tmp_path / f"a{suffix}"
    export(model, path, size=SIZE)
    found, expected = outputs(Order(model, size=SIZE), path)
    assert np.abs(found["upscaled"] - expected["upscaled"].numpy()).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pte", ".mlpackage"])
def test_formats_of_one_size_say_so(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(EscError, match="needs the one size"):
        export(random_model(CONFIGS["ESC-FP"]), tmp_path / f"a{suffix}")


@needs("openvino")
def test_openvino_takes_any_size_and_says_what_it_is(tmp_path: Path) -> None:
    import openvino

    model, path = random_model(CONFIGS["ESC-FP"]), tmp_path / "a.xml"
    exported = export(model, path, form="regions")
    assert len(exported.differences) == 3
    assert sorted(part.name for part in tmp_path.iterdir()) == ["a.bin", "a.xml"]
    read = openvino.Core().read_model(path)
    assert read.get_rt_info(["esc", "name"]).astype(str) == "random"
    assert read.get_rt_info(["esc", "checked"]).astype(str).startswith("in its own runtime")


@needs("openvino")
def test_half_precision_halves_openvinos_weights(tmp_path: Path) -> None:
    sizes = []
    for precision in ("float32", "float16"):
        order = Order(random_model(CONFIGS["ESC-FP"]), "whole", (13, 21), precision)
        path = tmp_path / f"{precision}.xml"
        kind = format_of(path)
        kind.converter.convert(order, path)
        assert compare(order, kind, path, order.example(13, 21)).largest < 2e-2
        sizes.append(path.with_suffix(".bin").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


@needs("coremltools")
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_package_for_core_ml_says_what_it_is(precision: str, tmp_path: Path) -> None:
    import coremltools as ct

    path = tmp_path / "a.mlpackage"
    (path / "older").mkdir(parents=True)
    (path / PACKAGE_MARK).write_text("{}")  # a package that is replaced
    export(random_model(CONFIGS["ESC-FP"]), path, form="regions", size=SIZE, precision=precision)
    assert [part.name for part in tmp_path.iterdir()] == ["a.mlpackage"]
    assert sorted(part.name for part in path.iterdir()) == ["Data", "Manifest.json"]
    spec = ct.utils.load_spec(str(path))
    assert [value.name for value in spec.description.input] == ["image", "means", "interior"]
    assert [value.name for value in spec.description.output] == ["upscaled", "found"]
    assert list(spec.description.output[0].type.multiArrayType.shape) in ([], [1, 3, 64, 128])
    assert spec.description.metadata.userDefined["precision"] == precision
    assert spec.description.metadata.userDefined["name"] == "random"


@needs("executorch")
def test_a_file_for_executorch_says_what_it_is(tmp_path: Path) -> None:
    from executorch.runtime import Runtime

    path = tmp_path / "a.pte"
    export(random_model(CONFIGS["ESC-FP"]), path, form="regions", size=(16, 24))
    program = Runtime.get().load_program(path)
    assert program.load_method("name").execute([]) == ["random"]
    assert program.load_method("reach").execute([]) == [str(Order(random_model(CONFIGS["ESC-FP"]), "regions").reach)]


@pytest.mark.parametrize("suffix", MOBILE)
def test_a_converter_that_fails_leaves_nothing_and_says_so_in_a_line(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise RuntimeError("no rule\nfor this")

    monkeypatch.setattr(torch.export, "export", fails)
    with pytest.raises(EscError, match=r"can't .* this network: no rule for this"):
        export(random_model(CONFIGS["ESC-FP"]), tmp_path / f"a{suffix}", size=SIZE)
    assert not list(tmp_path.iterdir())


def test_converters_are_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    import logging
    import os
    import warnings

    before = logging.root.manager.disable
    with quiet(compiled_parts=True):
        warnings.warn("a release that was not tested", stacklevel=1)
        logging.getLogger("coremltools").error("no library")
        os.write(2, b"Reading file")
    assert capfd.readouterr().err == ""
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
    assert logging.root.manager.disable == before
