"""From the names and shapes of a state dict to the configuration that made it. Nothing else is read."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch

from ..errors import CheckpointError, OtherNetworkError
from ..network import ESC, EscConfig
from ..network.heads.registry import find_head
from ..network.state_dict import State, numbered, shape_of

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


def detect(state: State) -> EscConfig:
    """Return the configuration of a canonical state dict (see `esc_plugin.weights.dialects`).

    Raises
    ------
    CheckpointError
        If it is no ESC network (`OtherNetworkError`), or its shapes contradict each other: exactly the parameters of the
        detected network must be there, with its shapes.
    """
    if not looks_like_esc(state):
        some = ", ".join(sorted(state)[:4]) or "nothing"
        raise OtherNetworkError(
            f"this is no ESC network: it holds {len(state)} parameters ({some}, ...). Known are {KNOWN}."
        )
    try:
        config = EscConfig(**_hyper_parameters(state))
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


def _hyper_parameters(state: State) -> dict[str, Any]:
    n_blocks = len(numbered(state, "blocks.{}.conv_out.weight"))
    conv_blocks = len(numbered(state, "blocks.0.convffns.{}.dwc.weight"))
    dim = shape_of(state, "last.weight", 4)[0]
    full = "plk_filter" in state
    pdim, _, _, kernel_size = shape_of(state, "plk_filter" if full else "lk_spatial", 4)
    fold = "proj.1.weight" in state
    unshuffle = isqrt(shape_of(state, "proj.1.weight", 4)[1] // 3) if fold else 1
    values: dict[str, Any] = {
        "dim": dim,
        "pdim": pdim,
        "kernel_size": kernel_size,
        "n_blocks": n_blocks,
        "conv_blocks": conv_blocks,
        "proj_hidden": shape_of(state, "blocks.0.proj.dwc.weight", 4)[0],
        "conv_hidden": shape_of(state, "blocks.0.convffns.0.dwc.weight", 4)[0],
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
    values |= _head(state)
    if not 0 < values["scale"] <= MAX_SCALE or values["scale"] % unshuffle:
        raise ValueError(f"a head of scale {values['scale']} behind a folding by {unshuffle}")
    values["scale"] //= unshuffle
    return values


def _position(state: State) -> dict[str, Any]:
    attn = "blocks.0.attn."
    if attn + "relative_position_bias" in state:
        heads, offsets = shape_of(state, attn + "relative_position_bias", 2)
        return {"window_size": (isqrt(offsets) + 1) // 2, "num_heads": heads, "position": "table"}
    if attn + "flashbias_q" in state:
        heads, pixels, rank = shape_of(state, attn + "flashbias_q", 3)
        return {"window_size": isqrt(pixels), "num_heads": heads, "position": "flash", "position_rank": rank}
    heads, hidden, rank = shape_of(state, attn + "to_q", 3)
    return {
        "window_size": RIB_WINDOW,
        "num_heads": heads,
        "position": "rib",
        "position_rank": rank,
        "rib_hidden": hidden,
        "rib_freqs": (shape_of(state, attn + "to_hidden", 2)[0] - 2) // 4,
    }


def _head(state: State) -> dict[str, Any]:
    kind = find_head(state)
    return {"head": kind.name, **kind.read(state)}


def _first_difference(expected: State, found: State) -> str:
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
