"""From the names and shapes of a state dict to the configuration that made it. Nothing else is read."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..network import ESC, EscConfig
from ..network.config import UNI_METHODS

KNOWN = "ESC, ESC-lt, ESC-FP, ESC-XL, ESC-Real, ESC-Real-M, FlashBias, ESC-RIB and ESC+LTE (authors, traiNNer-redux, neosr)"

#: Far above any released model; a file that claims more is damaged or hostile.
MAX_CHANNELS, MAX_LAYERS, MAX_SCALE = 4096, 256, 32
#: Of the published ESC-RIB models; no parameter depends on it.
RIB_WINDOW = 64


def looks_like_esc(state: Mapping[str, Any]) -> bool:
    """Tell whether canonical names can only be those of an ESC network. Cheap and narrow; `detect` says why not."""
    signs = ("blocks.0.attn.to_qkv.weight", "blocks.0.convffns.0.dwc.weight", "blocks.0.ln_out.weight", "proj.weight")
    signs_folded = (*signs[:3], "proj.1.weight")
    kernel = "plk_filter" in state or "lk_spatial" in state
    return kernel and (all(s in state for s in signs) or all(s in state for s in signs_folded))


def detect(state: Mapping[str, Tensor]) -> EscConfig:
    """Return the configuration of a canonical state dict (see `esc_plugin.weights.dialects`).

    Raises
    ------
    CheckpointError
        If it is no ESC network, or its shapes contradict each other: exactly the parameters of the detected network must
        be there, with its shapes.
    """
    if not looks_like_esc(state):
        some = ", ".join(sorted(state)[:4]) or "nothing"
        raise CheckpointError(f"this is no ESC network: it holds {len(state)} parameters ({some}, ...). Known are {KNOWN}.")
    try:
        config = EscConfig(**_shape_of(state))
        with torch.device("meta"):  # nothing is allocated
            expected = ESC(config).state_dict()
    except (KeyError, ArithmeticError, RuntimeError, ValueError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(f"this looks like an ESC network but can't be one: {what}. Known are {KNOWN}.") from None
    if problem := _first_difference(expected, state):
        raise CheckpointError(
            f"this looks like an ESC network (x{config.scale}) but is damaged or of an unknown kind: {problem}."
        )
    return config


def _shape_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    n_blocks = _count(state, "blocks.{}.conv_out.weight")
    conv_blocks = _count(state, "blocks.0.convffns.{}.dwc.weight")
    dim = _sizes(state, "last.weight", 4)[0]
    full = "plk_filter" in state
    pdim, _, _, kernel_size = _sizes(state, "plk_filter" if full else "lk_spatial", 4)
    fold = "proj.1.weight" in state
    unshuffle = isqrt(_sizes(state, "proj.1.weight", 4)[1] // 3) if fold else 1
    values: dict[str, Any] = {
        "dim": dim,
        "pdim": pdim,
        "kernel_size": kernel_size,
        "n_blocks": n_blocks,
        "conv_blocks": conv_blocks,
        "proj_hidden": _sizes(state, "blocks.0.proj.dwc.weight", 4)[0],
        "conv_hidden": _sizes(state, "blocks.0.convffns.0.dwc.weight", 4)[0],
        "conv_norms": "blocks.0.lns.0.weight" in state,
        "last_norm": "ln_last.weight" in state,
        "large_kernel": "full" if full else "separable",
        "unshuffle": unshuffle,
    }
    channels = max(dim, pdim, values["proj_hidden"], values["conv_hidden"])
    if channels > MAX_CHANNELS or max(n_blocks, conv_blocks) > MAX_LAYERS:
        raise ValueError(
            f"{channels} channels in {n_blocks} blocks of {conv_blocks} are more than {MAX_CHANNELS} in {MAX_LAYERS}"
        )
    values |= _position(state)
    values |= _head(state, separable=not full)
    if not 0 < values["scale"] <= MAX_SCALE or values["scale"] % unshuffle:
        raise ValueError(f"a head of scale {values['scale']} behind a folding by {unshuffle}")
    values["scale"] //= unshuffle
    return values


def _sizes(state: Mapping[str, Tensor], name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of a parameter, which must have so many axes, none of them empty."""
    shape = tuple(state[name].shape)
    if len(shape) != axes or not all(shape):
        raise ValueError(f"{name!r} has shape {shape}, not {axes} axes")
    return shape


def _position(state: Mapping[str, Tensor]) -> dict[str, Any]:
    attn = "blocks.0.attn."
    if attn + "relative_position_bias" in state:
        heads, offsets = _sizes(state, attn + "relative_position_bias", 2)
        return {"window_size": (isqrt(offsets) + 1) // 2, "num_heads": heads, "position": "table"}
    if attn + "flashbias_q" in state:
        heads, pixels, rank = _sizes(state, attn + "flashbias_q", 3)
        return {"window_size": isqrt(pixels), "num_heads": heads, "position": "flash", "position_rank": rank}
    heads, hidden, rank = _sizes(state, attn + "to_q", 3)
    return {
        "window_size": RIB_WINDOW,
        "num_heads": heads,
        "position": "rib",
        "position_rank": rank,
        "rib_hidden": hidden,
        "rib_freqs": (_sizes(state, attn + "to_hidden", 2)[0] - 2) // 4,
    }


def _head(state: Mapping[str, Tensor], separable: bool) -> dict[str, Any]:
    if (meta := state.get("to_img.MetaUpsample")) is not None:
        return _uni_head(state, meta)
    if "to_img.imnet.layers.0.weight" in state:
        layers = [_sizes(state, key, 2) for key in _sequence(state, "to_img.imnet.layers.{}.weight", step=2)]
        mid, mlp = _sizes(state, "to_img.coef.weight", 4)[0], tuple(outputs for outputs, _ in layers[:-1])
        return {"head": "lte", "scale": 4, "mid_dim": mid, "mlp_hidden": mlp}
    if "to_img.0.offset.weight" in state:
        return {"head": "dysample", "scale": _dysample_scale(state, 0), "dysample_kernel": _dysample_kernel(state, 0)}
    if "to_img.weight" in state:
        scale = isqrt(_sizes(state, "to_img.weight", 4)[0] // 3)
        return {"head": "bicubic" if separable else "classic", "scale": scale}
    if "to_img.4.weight" in state:
        return {"head": "real", "scale": 4}
    # neosr: two convolutions per doubling at 1 and 3 of every five layers, then the last one.
    doublings = len([key for key in state if key.startswith("to_img.") and key.endswith(".weight")]) // 2
    if doublings == 0:
        raise KeyError("to_img.weight")
    return {"head": "neosr", "scale": 2**doublings}


def _uni_head(state: Mapping[str, Tensor], meta: Tensor) -> dict[str, Any]:
    if meta.dtype != torch.uint8 or meta.shape != (7,):
        raise ValueError(f"to_img.MetaUpsample is {meta.dtype} of {tuple(meta.shape)}, not 7 bytes")
    version, index, scale, _, _, mid, groups = meta.tolist()
    methods = UNI_METHODS[:5] if version == 2 else UNI_METHODS
    if version not in (2, 3) or index >= len(methods):
        raise ValueError(f"its UniUpsample is version {version}, method {index}; known are versions 2 and 3, methods 0 to 7")
    method = methods[index]
    if method == "lda":
        raise ValueError('its upsampling method "lda" (LDA-AQU) is not supported; every other UniUpsample method is')
    if scale not in (1, 2, 3, 4):
        raise ValueError(f"its UniUpsample has scale {scale}; 1 to 4 are possible")
    values = {"head": "uni", "uni_method": method, "uni_version": version, "scale": scale, "mid_dim": mid}
    if method == "dysample" and scale > 1:
        at = 0 if "to_img.0.offset.weight" in state else 2
        if groups != 4:
            raise ValueError(f"its dynamic sampling has {groups} groups, not 4")
        values["dysample_kernel"] = _dysample_kernel(state, at)
    return values


def _dysample_scale(state: Mapping[str, Tensor], at: int) -> int:
    return isqrt(_sizes(state, f"to_img.{at}.offset.weight", 4)[0] // 8)


def _dysample_kernel(state: Mapping[str, Tensor], at: int) -> int:
    return _sizes(state, f"to_img.{at}.end_conv.weight", 4)[-1]


def _sequence(state: Mapping[str, Tensor], pattern: str, step: int = 1) -> list[str]:
    keys: list[str] = []
    while (key := pattern.format(len(keys) * step)) in state:
        keys.append(key)
    return keys


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len(_sequence(state, pattern))


def _first_difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    for name, wanted in expected.items():
        if name not in found:
            return f"{name!r} is missing"
        value = found[name]
        if value.shape != wanted.shape:
            return f"{name!r} has shape {tuple(value.shape)}, not {tuple(wanted.shape)}"
        if not value.numel():
            return f"{name!r} is empty"
        if value.is_floating_point() != wanted.is_floating_point():
            return f"{name!r} holds {value.dtype}, not {wanted.dtype}"
    extra = sorted(set(found) - set(expected))
    return f"{extra[0]!r} is not part of it" + (f" ({len(extra)} such)" if len(extra) > 1 else "") if extra else ""
