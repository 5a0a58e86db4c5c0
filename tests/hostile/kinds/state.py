"""State dicts: wrong types and shapes, values that are no numbers or huge, missing, shared and wrapped parameters."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save

from ..case import Case, check
from ..mutate import NUMBERS, retyped
from ..weights import State, equal, states, used

DTYPES = (
    *(
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bool,
    ),
    *(torch.complex64, torch.float8_e4m3fn, torch.uint16),
)
NUMBERS_OF_FLOATS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e38, -3e38, 1e-45, 1e300, 65504.0, 1e20)
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "sd", "optimizer", "", 7)


def case(rng: Random) -> Case:
    """Return a file of a state dict with something changed."""
    state, whats = dict(rng.choice(states())), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        with suppress(RuntimeError, NotImplementedError):  # of a tensor that not even torch can make
            whats.append(_change(rng, state))
    packed = _safetensors(state) if rng.random() < 0.4 else None
    data = packed or _pickled(rng, state)
    name = "a.safetensors" if packed else "a.pth"
    return Case(f"state, {', '.join(whats)}", {name: data}, lambda folder: attempted(folder / name, state))


def attempted(path: Path, state: State) -> list[str]:
    """Use a file; what is loaded has the values that are in it."""
    model = used(path)
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    check(equal(model, tensors), "the network has other values than the file")
    return []


def _safetensors(state: State) -> bytes | None:
    try:
        return bytes(save({name: value.contiguous().clone() for name, value in state.items()}, {"format": "pt"}))
    except Exception:  # which can't hold all that a pickle can
        return None


def _pickled(rng: Random, state: State) -> bytes:
    content: Any = state
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        content = {rng.choice(WRAPPERS): content, "iter": rng.choice((1, "x", None, [1]))}
    if rng.randrange(10) == 0:
        content = rng.choice(
            ([state], (state,), None, 3, {"params": None, "params_ema": state}, {"net": {}}, list(state.values()))
        )
    file = io.BytesIO()
    try:
        torch.save(content, file, _use_new_zipfile_serialization=rng.randrange(12) != 0)
    except Exception:  # of a tensor that can't be saved
        torch.save(state, file)
    return file.getvalue()


def _change(rng: Random, state: State) -> str:
    name = rng.choice(list(state))
    value = state[name]
    if not isinstance(value, torch.Tensor):
        return "again"
    kind = rng.choice(("type", "shape", "values", "values", "name", "more", "shared", "strange"))
    if kind == "type":
        dtype = rng.choice(DTYPES)
        state[name] = value.to(dtype)
        return f"{name} as {dtype}"
    if kind == "shape":
        state[name] = _reshaped(rng, value)
    elif kind == "values":
        number = rng.choice(NUMBERS_OF_FLOATS)
        state[name] = value.clone()
        whole = state[name].reshape(-1)
        if rng.random() < 0.5:
            whole = whole[rng.randrange(len(whole)) :][:1] if len(whole) else whole
        whole.fill_(
            int(number) % 256
            if not value.is_floating_point() and abs(number) < 1e9
            else number
            if value.is_floating_point()
            else 1
        )
        return f"{name} is {number}"
    elif kind == "name":
        state[rng.choice((retyped(rng, name), name + ".0", "module." + name, name.replace("0", "1"), name.upper()))] = (
            state.pop(name)
        )
    elif kind == "more":
        if rng.random() < 0.5:
            del state[name]
        else:
            state[
                rng.choice((name + "2", "blocks.99." + name, "x" * 300, "a\nb", "blocks.1" + name.removeprefix("blocks.0")))
            ] = value
    elif kind == "shared":
        state[name] = rng.choice(
            (
                value.reshape(-1)[:1].expand(value.numel()).reshape(value.shape),
                value.t() if value.ndim == 2 else value.flip(0),
            )
        )
        other = rng.choice([key for key in state if isinstance(state[key], torch.Tensor)])
        if state[other].shape == value.shape:
            state[other] = state[name]
    else:
        state[name] = rng.choice(
            (value.to_sparse(), value.to("meta"), torch.nn.Parameter(value.float()), [1.0], "text", None, value.tolist())
        )
    return f"{name}: {kind}"


def _reshaped(rng: Random, value: torch.Tensor) -> torch.Tensor:
    shape = list(value.shape)
    kind = rng.randrange(7)
    if kind == 0 or not shape:
        return value.reshape(-1)
    if kind == 1:
        return value[None]
    at = rng.randrange(len(shape))
    if kind == 2:
        return value.movedim(at, 0)
    if kind == 3:
        return torch.cat([value, value], at)
    if kind == 4:
        return value.narrow(at, 0, shape[at] // 2)
    if kind == 5:  # an enormous one in a few bytes
        return value.reshape(-1)[:1].expand(rng.choice((8, 64, 3)) * min(rng.choice(NUMBERS) + 1, 10**4), 1)
    shape[at] = rng.choice((1, 2, 3, 5, 16, 48))
    return (
        value.reshape(-1)
        .repeat(1 + torch.Size(shape).numel() // max(value.numel(), 1))[: torch.Size(shape).numel()]
        .reshape(shape)
    )
