"""Core ML's programs, step by step in torch, after the reference of MIL: its own runtime is on a Mac only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def evaluate(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a package; halves are computed as float32, and rounded where the program rounds constants."""
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = ct.utils.load_spec(str(path))
    program = load(spec, spec.specificationVersion, str(path / "Data/com.apple.CoreML/weights"))
    function = program.functions["main"]
    known: dict[str, Any] = {name: torch.from_numpy(value) for name, value in inputs.items()}
    for operation in function.operations:
        if operation.op_type == "const":
            continue
        given = {name: _value(value, known) for name, value in operation.inputs.items()}
        made = OPERATIONS[operation.op_type](**{name: value for name, value in given.items() if value is not None})
        for variable, value in zip(operation.outputs, made if isinstance(made, tuple) else (made,), strict=True):
            assert tuple(value.shape) == tuple(variable.shape), operation.name
            known[variable.name] = value
    return {output.name: known[output.name].numpy() for output in function.outputs}


def _value(variable: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(variable, (list, tuple)):
        return [_value(each, known) for each in variable]
    if variable is None or variable.val is None:
        return None if variable is None else known[variable.name]
    value = variable.val
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return torch.from_numpy(np.array(value, np.float32))
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _conv(x: Tensor, weight: Tensor, bias: Any = None, pad_type: str = "valid", groups: int = 1, **rest: Any) -> Tensor:
    assert set(rest) <= {"strides", "pad", "dilations"}
    assert set(rest.get("strides", [1])) | set(rest.get("dilations", [1])) == {1}
    if pad_type == "custom":
        top, bottom, left, right = rest["pad"]
        x = F.pad(x, (left, right, top, bottom))
    else:
        assert pad_type == "valid" or (pad_type == "same" and weight.shape[-1] == 1), pad_type
    return F.conv2d(x, weight, bias, groups=groups)


def _conv_transpose(x: Tensor, weight: Tensor, bias: Any = None, **rest: Any) -> Tensor:
    pad, groups = rest.get("pad", [0] * 4), rest.get("groups", 1)
    assert len(set(pad)) == 1
    return F.conv_transpose2d(x, weight, bias, rest["strides"], pad[0], groups=groups)


def _slice(x: Tensor, begin: list[int], end: list[int], **masks: Any) -> Tensor:
    none = [False] * x.ndim
    first, last = masks.get("begin_mask", none), masks.get("end_mask", none)
    squeezed, steps = masks.get("squeeze_mask", none), masks.get("stride", [1] * x.ndim)
    index: list[Any] = []
    for axis in range(x.ndim):
        if squeezed[axis]:
            index.append(begin[axis])
        else:
            start, stop = None if first[axis] else begin[axis], None if last[axis] else end[axis]
            index.append(slice(start, stop, steps[axis]))
    return x[tuple(index)]


def _matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


def _pad(x: Tensor, pad: list[int], mode: str = "constant", constant_val: Any = 0.0) -> Tensor:
    pairs = [tuple(pad[i : i + 2]) for i in range(0, len(pad), 2)]
    flat = [n for pair in reversed(pairs) for n in pair]
    if mode == "constant":
        return F.pad(x, flat, value=float(constant_val))
    return F.pad(x, flat[:4], mode={"reflect": "reflect", "replicate": "replicate"}[mode])


def _resample(x: Tensor, coordinates: Tensor, **how: Any) -> Tensor:
    assert how["sampling_mode"] == "bilinear"
    assert how["coordinates_mode"] == "normalized_minus_one_to_one"
    border = {"border": "border", "constant": "zeros"}[how["padding_mode"]]
    return F.grid_sample(x, coordinates, padding_mode=border, align_corners=how["align_corners"])


def _nearest(x: Tensor, scale_factor_height: float, scale_factor_width: float) -> Tensor:
    return F.interpolate(x, scale_factor=(float(scale_factor_height), float(scale_factor_width)))


def _gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    return F.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


#: By the names of https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "batch_norm": lambda x, mean, variance, gamma=None, beta=None, epsilon=1e-5: F.batch_norm(
        x, mean, variance, gamma, beta, eps=float(epsilon)
    ),
    "cast": lambda x, dtype: x.to(torch.int32) if "int" in dtype else x.float(),
    "clip": lambda x, alpha, beta: x.clamp(float(alpha), float(beta)),
    "concat": lambda values, axis, interleave=False: torch.cat(values, axis),
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "expand_dims": lambda x, axes: x[(None,) * len(axes)] if axes == list(range(len(axes))) else x.unsqueeze(*axes),
    "gather": lambda x, indices, axis=0, **_: x.index_select(axis, torch.as_tensor(indices).flatten()),
    "gelu": _gelu,
    "leaky_relu": lambda x, alpha: F.leaky_relu(x, float(alpha)),
    "linear": F.linear,
    "matmul": _matmul,
    "maximum": lambda x, y: torch.maximum(torch.as_tensor(x), torch.as_tensor(y)),
    "mul": lambda x, y: x * y,
    "pad": _pad,
    "pixel_shuffle": lambda x, upscale_factor: F.pixel_shuffle(x, upscale_factor),
    "pixel_unshuffle": lambda x, downscale_factor: F.pixel_unshuffle(x, downscale_factor),
    "real_div": lambda x, y: x / y,
    "reduce_mean": lambda x, axes, keep_dims=False: x.mean(axes, keepdim=keep_dims),
    "reduce_sum": lambda x, axes, keep_dims=False: x.sum(axes, keepdim=keep_dims),
    "resample": _resample,
    "reshape": lambda x, shape: x.reshape(shape),
    "rsqrt": lambda x, epsilon=0.0: (x + float(epsilon)).rsqrt(),
    "sigmoid": torch.sigmoid,
    "slice_by_index": _slice,
    "softmax": lambda x, axis: torch.softmax(x, axis),
    "split": lambda x, axis, split_sizes=None, num_splits=None: tuple(
        x.split(split_sizes or x.shape[axis] // num_splits, axis)
    ),
    "squeeze": lambda x, axes=None: x.squeeze(axes),
    "sub": lambda x, y: x - y,
    "tile": lambda x, reps: x.repeat(reps),
    "transpose": lambda x, perm: x.permute(perm),
    "upsample_nearest_neighbor": _nearest,
}
