"""The real spandrel learns ESC: every golden file loads, and none of spandrel's own architectures is mistaken for one."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from esc_plugin import load_model
from esc_plugin.network import ESC, EscConfig

from .comfy_stubs import ROOT, import_spandrel, load_pack
from .golden import Golden, golden_cases

GOLDEN = golden_cases()
TINY = EscConfig(dim=12, pdim=4, n_blocks=2, conv_blocks=2, window_size=6, num_heads=3, proj_hidden=18, conv_hidden=15)
FOLDED = {"head": "uni", "uni_method": "pixelshuffle", "uni_version": 3, "mid_dim": 8, "unshuffle": 2}


@pytest.fixture(scope="module")
def spandrel() -> ModuleType:
    return import_spandrel()


@pytest.fixture(scope="module")
def pack(spandrel: ModuleType) -> ModuleType:
    """The pack as a folder of ComfyUI imports itself, without ComfyUI."""
    return load_pack("esc-plugin")


@pytest.fixture(scope="module")
def support(pack: ModuleType) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.spandrel_support")


@pytest.fixture
def registry(spandrel: ModuleType, support: ModuleType) -> Any:
    """What spandrel brings, and ESC as this pack adds it: another test may have taught spandrel its own copy."""
    own = spandrel.ArchRegistry()
    own.add(*(arch for arch in spandrel.MAIN_REGISTRY if arch.architecture.id != "ESC"))
    support.register(own)
    return own


@pytest.fixture(scope="module")
def recognize(pack: ModuleType) -> ModuleType:
    return importlib.import_module(f"{pack.__name__}.nodes.recognize")


def test_what_declares_no_node_imports_without_comfyui(pack: ModuleType) -> None:
    assert "comfy" not in sys.modules
    for path in (ROOT / "nodes").glob("*.py"):
        if path.stem not in ("host", "extension", "schema") and not path.stem.endswith("_node"):
            importlib.import_module(f"{pack.__name__}.nodes.{path.stem}")


def as_comfyui_loads(case: Golden) -> dict[str, Any]:
    """Read a file the way ComfyUI's stock loader does before it calls spandrel."""
    if case.path.suffix == ".safetensors":
        return load_file(case.path)
    content = torch.load(case.path, map_location="cpu", weights_only=True)
    if "state_dict" in content:
        return content["state_dict"]
    (only,) = content.values() if len(content) == 1 else (None,)
    return only if isinstance(only, dict) else content


def make(seed: int = 0, **values: Any) -> ESC:
    torch.manual_seed(seed)
    return ESC(EscConfig(**(TINY.to_dict() | values))).eval()


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_golden_files_load_and_run(case: Golden, registry: Any) -> None:
    descriptor = registry.load(as_comfyui_loads(case))
    assert descriptor.architecture.id == "ESC"
    assert (descriptor.input_channels, descriptor.output_channels) == (3, 3)
    assert descriptor.size_requirements.none
    for image, expected in case.pairs():
        if descriptor.tags[-1] == "lte":  # its vectors are of other scales than the one that a descriptor has
            assert descriptor(image.float()).shape[2:] == tuple(4 * n for n in image.shape[2:])
            found = descriptor.model(image.float(), (expected.shape[2], expected.shape[3])).clamp(0, 1)
        else:
            found = descriptor(image.float())
        assert found.shape == expected.shape
        if case.window_size is None:  # ESC-RIB files don't tell their windows, and these have others than the published
            assert (found - expected.clamp(0, 1)).abs().max() < 2e-5


def test_weights_that_are_no_numbers_are_an_error_and_no_black_image(registry: Any, recognize: ModuleType) -> None:
    network = make()
    descriptor = registry.load(network.state_dict())
    state = network.state_dict() | {"last.weight": torch.full_like(network.last.weight, torch.nan)}
    with pytest.raises(Exception, match=r"'last.weight' holds values that are no numbers"):
        registry.load(state)
    with torch.no_grad():  # by another node, after it was loaded
        descriptor.model.last.weight.fill_(torch.inf)
    with pytest.raises(Exception, match=r"'last.weight' holds values that are no numbers"):
        recognize.model_of(descriptor)


def test_a_network_is_copied_once_and_again_when_it_was_changed(registry: Any, recognize: ModuleType) -> None:
    descriptor = registry.load(make().state_dict())
    first = recognize.model_of(descriptor)
    before = {name: value.clone() for name, value in first.network.state_dict().items()}
    assert recognize.model_of(descriptor) is first
    name, parameter = "last.weight", descriptor.model.last.weight
    with torch.no_grad():  # as nodes do that merge or patch
        parameter += 1
    second = recognize.model_of(descriptor)
    assert torch.equal(second.network.state_dict()[name], parameter)
    assert all(torch.equal(value, before[key]) for key, value in first.network.state_dict().items())


def test_a_bundled_model_is_known_by_its_weights(registry: Any, recognize: ModuleType) -> None:
    """The evidence for a precision goes with it, whoever loaded it."""
    network = load_model("esc-nano-x2").network
    assert recognize.model_of(registry.load(network.state_dict())).card["harmless"] == "bfloat16"
    assert recognize.model_of(registry.load(make().state_dict())).card == {}
    changed = network.state_dict() | {"last.bias": network.last.bias + 1e-6}
    assert recognize.model_of(registry.load(changed)).card == {}


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_no_other_architecture_claims_a_golden_file(case: Golden, spandrel: ModuleType) -> None:
    state = spandrel.canonicalize_state_dict(as_comfyui_loads(case))
    assert [
        arch.architecture.id for arch in spandrel.MAIN_REGISTRY if arch.detect(state) and arch.architecture.id != "ESC"
    ] == []


def architectures(spandrel: ModuleType) -> Iterator[nn.Module]:
    """Build spandrel's own networks with their defaults, but for the one that has none."""
    needed = {name: {"num_in_ch": 3, "num_out_ch": 3} for name in ("MMRealSR", "SPAN")}
    needed |= {name: {"dim": 16} for name in ("SAFMN", "SAFMNBCIE")}
    needed |= {name: {"window_size": 8} for name in ("SwinIR", "Swin2SR")}
    package = importlib.import_module("spandrel.architectures")
    for found in pkgutil.iter_modules(package.__path__):
        if found.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        for name in module.__all__:
            kind = getattr(module, name)
            if not inspect.isclass(kind) or not issubclass(kind, nn.Module) or name == "AuraSR":
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    with torch.device("meta"):
                        yield kind(**needed.get(name, {}))
                except RuntimeError:  # some compute with their buffers
                    yield kind(**needed.get(name, {}))


def test_claims_none_of_spandrels_own_architectures(spandrel: ModuleType, recognize: ModuleType) -> None:
    names = []
    for network in architectures(spandrel):
        names.append(type(network).__name__)
        assert not recognize.is_esc(network.state_dict()), names[-1]
    assert len(names) >= 45


@pytest.mark.parametrize("wrapper", ["params_ema", "params", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_wrapped_and_prefixed_files_load(wrapper: str, prefix: str, registry: Any) -> None:
    network = make()
    descriptor = registry.load({wrapper: {prefix + name: value for name, value in network.state_dict().items()}})
    image = torch.rand(1, 3, 9, 11)
    assert torch.allclose(descriptor(image), network(image).clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("values", "scale", "purpose"),
    [({"scale": 3}, 3, "SR"), ({"scale": 1}, 1, "Restoration"), ({"scale": 2, **FOLDED}, 2, "SR")],
)
def test_descriptor_tells_the_truth(values: dict[str, Any], scale: int, purpose: str, support: ModuleType) -> None:
    descriptor = support.describe(make(**values))
    assert (descriptor.scale, descriptor.purpose) == (scale, purpose)
    assert descriptor.tags[:3] == ["12dim", "2nb", "6win"]
    assert descriptor(torch.rand(1, 3, 1, 7)).shape == (1, 3, scale, 7 * scale)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_supports_what_it_says(dtype: torch.dtype, support: ModuleType) -> None:
    network = make()
    image = torch.rand(2, 3, 13, 17)
    expected = network(image).clamp(0, 1)
    descriptor = support.describe(network).to(dtype)
    found = descriptor(image.to(dtype))
    assert found.dtype == dtype
    assert (found.float() - expected).abs().max() < 0.05
    back = descriptor.float()(image)
    assert (back - expected).abs().max() < 0.02  # rounded weights, full precision again


def test_batches_are_images_on_their_own(support: ModuleType) -> None:
    descriptor = support.describe(make())
    batch = torch.rand(3, 3, 10, 14)
    single = torch.cat([descriptor(image[None]) for image in batch])
    assert torch.allclose(descriptor(batch), single, atol=1e-6)


def test_registers_once(spandrel: ModuleType, support: ModuleType) -> None:
    registry = spandrel.MAIN_REGISTRY.copy()
    before = len(registry) - ("ESC" in registry)
    support.register(registry)
    support.register(registry)
    assert len(registry) == before + 1


def test_damaged_files_say_what_is_wrong(registry: Any, pack: ModuleType) -> None:
    errors = importlib.import_module(f"{pack.__name__}.esc_plugin.errors")
    state = make().state_dict()
    del state["blocks.1.conv_out.bias"]
    with pytest.raises(errors.CheckpointError, match=r"'blocks\.1\.conv_out\.bias' is missing"):
        registry.load(state)


VALUES = st.one_of(
    st.none(), st.integers(), st.text(), st.just(torch.zeros(2, 2)), st.dictionaries(st.text(), st.integers())
)
NAMES = st.one_of(st.text(), st.sampled_from(["params_ema", "params", "model", "plk_filter", "proj.weight", "coef.weight"]))


@given(st.dictionaries(NAMES, VALUES))
def test_detector_takes_anything(recognize: ModuleType, state: dict[str, Any]) -> None:
    assert recognize.is_esc(state) is False


def test_model_of_is_a_copy_in_full_precision(support: ModuleType, recognize: ModuleType) -> None:
    descriptor = support.describe(make()).half()
    copy = recognize.model_of(descriptor).network
    assert copy is not descriptor.model
    assert {value.dtype for value in copy.state_dict().values()} == {torch.float32}
    for name, value in descriptor.model.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value.float()), name


def test_model_of_keeps_windows_that_parameters_do_not_tell(support: ModuleType, recognize: ModuleType) -> None:
    rib = {"position": "rib", "position_rank": 4, "rib_hidden": 6, "rib_freqs": 2, "window_size": 5}
    network = make(**rib)
    copy = recognize.model_of(support.describe(network)).network
    image = torch.rand(1, 3, 12, 9)
    assert copy.config.window_size == 5
    assert torch.allclose(copy(image), network(image), atol=1e-5)


def test_model_of_leaves_others_alone(spandrel: ModuleType, recognize: ModuleType) -> None:
    compact = importlib.import_module("spandrel.architectures.Compact")
    state: dict[str, Tensor] = compact.Compact(num_feat=8, num_conv=1, upscale=2).state_dict()
    assert recognize.model_of(spandrel.MAIN_REGISTRY.load(state)) is None
