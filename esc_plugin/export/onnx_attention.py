"""Windowed attention as ONNX operators, for images of any size.

torch's exporter would follow each size through the network as a symbol, which takes minutes, and leaves as much arithmetic
on sizes in the graph as on pixels. So for torch the attention is one operator, and what stands for it is written here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18
from torch import Tensor

from .portable import attend_plainly

op: Any = opset18  # its types are of ONNX's values, not of numbers
#: Into so many parts the windows of an image are cut, so that no runtime holds the scores of all of them at once.
PIECES = 16


@torch.library.custom_op("esc::attend", mutates_args=())
def attend(qkv: Tensor, bias: Tensor, window: int) -> Tensor:
    """See `esc_plugin.export.portable.attend_plainly`."""
    return attend_plainly(qkv, bias, window)


@attend.register_fake
def _shape_of(qkv: Tensor, bias: Tensor, window: int) -> Tensor:
    return qkv[:, : qkv.shape[1] // 3].clone(memory_format=torch.contiguous_format)


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


def _filled(x: Any, axis: int, size: Any, window: int) -> Any:
    """Fill an axis up to whole windows: back and forth, as `reflect_pad` does."""
    # A window more than is there, then cut: what is gathered is never empty, and little. Gathering all would be slow.
    index = op.Add(size, op.Constant(value_ints=list(range(window))))
    period = op.Max(op.Mul(op.Sub(size, _ints(1)), _ints(2)), _ints(1))  # a single row is repeated
    index = op.Mod(index, period)
    more = op.Gather(x, op.Min(index, op.Sub(period, index)), axis=axis)
    count = op.Mul(op.Div(op.Add(size, _ints(window - 1)), _ints(window)), _ints(window))
    return op.Slice(op.Concat(x, more, axis=axis), _ints(0), count, _ints(axis))


def write_attention(qkv: Any, bias: Any, window: int) -> Any:
    """Write the operators of `attend`; sizes are read off `qkv` when the graph runs."""
    heads, depth, length = bias.shape[0], qkv.shape[1] // 3 // bias.shape[0], window * window
    height, width = op.Shape(qkv, start=2, end=3), op.Shape(qkv, start=3, end=4)
    filled = _filled(_filled(qkv, 2, height, window), 3, width, window)
    columns = op.Div(op.Shape(filled, start=3, end=4), _ints(window))
    lines = op.Reshape(filled, op.Concat(_ints(-1, window), columns, _ints(window), axis=0))
    windows = op.Reshape(op.Transpose(lines, perm=[0, 2, 1, 3]), _ints(3 * heads, depth, -1, length))
    query, key, value = op.Split(windows, num_outputs=3, axis=0)
    found = _in_pieces(
        op.Transpose(op.Mul(query, op.Constant(value_float=depth**-0.5)), perm=[0, 2, 3, 1]),
        op.Transpose(key, perm=[0, 2, 1, 3]),
        op.Transpose(value, perm=[0, 2, 3, 1]),
        op.Unsqueeze(bias, _ints(1)),
    )
    # (heads, windows, w w, d) -> (C rows, columns, w, w) -> (1, C, H, W)
    joined = op.Transpose(found, perm=[0, 3, 1, 2])
    parts = op.Reshape(joined, op.Concat(_ints(-1), columns, _ints(window, window), axis=0))
    rows = op.Shape(filled, start=2, end=3)
    whole = op.Reshape(
        op.Transpose(parts, perm=[0, 2, 1, 3]),
        op.Concat(_ints(1, heads * depth), rows, op.Shape(filled, start=3, end=4), axis=0),
    )
    return op.Slice(whole, _ints(0, 0), op.Concat(height, width, axis=0), _ints(2, 3))


def _in_pieces(query: Any, key: Any, value: Any, bias: Any) -> Any:
    """Attend in (heads, windows, w w, d), (heads, windows, d, w w) and (heads, windows, w w, d)."""
    count = op.Shape(query, start=1, end=2)
    size = op.Div(op.Add(count, _ints(PIECES - 1)), _ints(PIECES))
    # Windows of zeros make all pieces alike: WebGPU refuses empty ones.
    ends = op.Concat(_ints(0, 0, 0, 0, 0), op.Sub(op.Mul(size, _ints(PIECES)), count), _ints(0, 0), axis=0)
    query, key, value = (op.Pad(x, ends) for x in (query, key, value))
    parts = []
    for i in range(PIECES):
        start, stop = op.Mul(size, _ints(i)), op.Mul(size, _ints(i + 1))
        q, k, v = (op.Slice(x, start, stop, _ints(1)) for x in (query, key, value))
        scores = op.Add(op.MatMul(q, k), bias)
        parts.append(op.MatMul(op.Softmax(scores, axis=-1), v))
    return op.Slice(op.Concat(*parts, axis=1), _ints(0), count, _ints(1))


def write_gelu(x: Any, approximate: str = "none") -> Any:
    """Write GELU as runtimes know it, which make one operator of these five; torch's exporter has another order."""
    assert approximate == "none"
    half = op.Mul(x, op.Add(op.Erf(op.Div(x, op.Constant(value_float=2**0.5))), op.Constant(value_float=1.0)))
    return op.Mul(half, op.Constant(value_float=0.5))


#: What the exporter writes for operators of torch.
TRANSLATIONS: dict[Any, Callable[..., Any]] = {
    torch.ops.esc.attend.default: write_attention,
    torch.ops.aten.gelu.default: write_gelu,
}
