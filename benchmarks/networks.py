"""The networks that are timed: ours, a plain reading of the paper, the authors' own, and what else a user would pick."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

#: Where they are in spandrel, and how the published models are made. All weights are random.
PEERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "SwinIR-light": (
        "SwinIR.__arch.SwinIR",
        "SwinIR",
        {
            "window_size": 8,
            "embed_dim": 60,
            "depths": [6] * 4,
            "num_heads": [6] * 4,
            "mlp_ratio": 2,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "ATD-light": (
        "ATD.__arch.atd_arch",
        "ATD",
        {
            "embed_dim": 48,
            "depths": (6,) * 4,
            "num_heads": (4,) * 4,
            "window_size": 16,
            "category_size": 128,
            "num_tokens": 64,
            "reducted_dim": 8,
            "convffn_kernel_size": 7,
            "mlp_ratio": 1.0,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "OmniSR": ("OmniSR.__arch.OmniSR", "OmniSR", {"res_num": 5}),
    "SPAN": ("SPAN.__arch.span", "SPAN", {"num_in_ch": 3, "num_out_ch": 3}),
    "RealPLKSR": ("PLKSR.__arch.RealPLKSR", "RealPLKSR", {}),
    "Compact": ("Compact.__arch.SRVGG", "SRVGGNetCompact", {}),
}
SCALE_NAMES = {"OmniSR": "up_scale", "RealPLKSR": "upscaling_factor"}

#: Keeps the schemas alive that a torchvision built for CUDA wants before it can be imported beside a torch for CPUs.
LIBRARIES: list[torch.library.Library] = []

Run = Callable[[Tensor], Tensor]


def declare_torchvision() -> None:
    """Declare them, unless torchvision fits this torch."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        LIBRARIES.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            LIBRARIES[0].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def named(name: str) -> tuple[str, int]:
    """Take a name such as ESC-lt-x4 apart."""
    own, _, scale = name.rpartition("-x")
    if not own or scale not in ("1", "2", "3", "4"):
        raise SystemExit(f"a network is named with its scale, as ESC-lt-x4 is, not {name!r}.")
    return own, int(scale)


def is_peer(name: str) -> bool:
    return named(name)[0] in PEERS


def peer(name: str) -> nn.Module:
    own, scale = named(name)
    declare_torchvision()
    module, cls, options = PEERS[own]
    make = getattr(importlib.import_module(f"spandrel.architectures.{module}"), cls)
    network: nn.Module = make(**options, **{SCALE_NAMES.get(own, "upscale"): scale})
    return network.eval()


def model_of(name: str) -> Any:
    """Return a bundled model, or a network of the paper with random weights, the same every time."""
    from esc_plugin.catalog.load import load_model
    from esc_plugin.network import ESC, released
    from esc_plugin.weights.model import Model

    if name.startswith("esc-"):
        return load_model(name)
    torch.manual_seed(0)
    config = released(*named(name))
    return Model(ESC(config).eval().requires_grad_(False), config, name, "random", "")


def ours(model: Any, precision: str) -> Run:
    from esc_plugin.upscaler import Upscaler

    run: Run = Upscaler(model, device="cpu", precision=precision).run
    return run


def plain(model: Any, *, fused: bool) -> Run:
    """Return a plain reading of the paper (tests/oracle.py), its attention written out or fused."""
    oracle = load_file(Path(__file__).parents[1] / "tests" / "oracle.py")
    state, config = model.network.state_dict(), model.config
    options = {"scale": config.scale, "window": config.window_size, "heads": config.num_heads, "fused": fused}
    return lambda image: oracle.esc_forward(state, image, **options)


def is_classic(config: Any) -> bool:
    """Tell whether a network is one of those that a plain reading exists for."""
    return (config.head, config.large_kernel, config.position) == ("classic", "full", "table")


def authors(model: Any, files: list[Path], attention: str) -> Run:
    """Return the authors' own network, of the first of their files that has it, with the same weights.

    `attention` is what their file calls so: SDPA, Naive or Flex.
    """
    from esc_plugin.weights.dialects import to_dialect

    config = model.config
    wanted = "ESCReal" if config.head == "real" else "ESCFP" if config.large_kernel == "separable" else "ESC"
    register_nowhere()
    for file in files:
        module = load_file(file)
        if not hasattr(module, wanted):
            continue
        if attention == "SDPA" and hasattr(module, "sdpa_kernel"):
            vars(module)["sdpa_kernel"] = lambda backends: nullcontext()  # it asks for a kernel that no CPU has
        network: nn.Module = getattr(module, wanted)(
            dim=config.dim,
            pdim=config.pdim,
            kernel_size=config.kernel_size,
            n_blocks=config.n_blocks,
            conv_blocks=config.conv_blocks,
            window_size=config.window_size,
            num_heads=config.num_heads,
            upscaling_factor=config.scale,
            exp_ratio=config.conv_hidden / config.dim,
            attn_type=attention,
        )
        network.load_state_dict(to_dialect(model.network.state_dict(), config))
        return network.eval()
    raise SystemExit(f"none of {', '.join(repr(str(file)) for file in files)} has the class {wanted}.")


def load_file(path: Path) -> ModuleType:
    """Import a file by its path, so that no package of its folder comes before another's."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def register_nowhere() -> None:
    """Stand in for basicsr, whose registry is all that the authors' files take from it."""
    registry = ModuleType("basicsr.utils.registry")
    vars(registry)["ARCH_REGISTRY"] = Registry()
    for name in ("basicsr", "basicsr.utils"):
        sys.modules[name] = ModuleType(name)
    sys.modules[registry.__name__] = registry


class Registry:
    def register(self, *_: Any, **__: Any) -> Callable[[type], type]:
        return lambda cls: cls
