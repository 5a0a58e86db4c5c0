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
PIECES = 4


@torch.library.custom_op("esc::attend", mutates_args=())
def attend(qkv: Tensor, bias: Tensor, window: int) -> Tensor:
    """See `esc_plugin.export.portable.attend_plainly`."""
    return attend_plainly(qkv, bias, window)


@attend.register_fake
def _shape_of(qkv: Tensor, bias: Tensor, window: int) -> Tensor:
    return qkv[:, : qkv.shape[1] // 3].clone(memory_format=torch.contiguous_format)


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


def _reflected(size: Any, window: int) -> Any:
    """Return where to read so that an axis is filled up to whole windows: back and forth, as `reflect_pad` does."""
    count = op.Mul(op.Div(op.Add(size, _ints(window - 1)), _ints(window)), _ints(window))
    index = op.Range(op.Constant(value_int=0), op.Squeeze(count), op.Constant(value_int=1))
    period = op.Max(op.Mul(op.Sub(size, _ints(1)), _ints(2)), _ints(1))  # a single row is repeated
    index = op.Mod(index, period)
    return op.Min(index, op.Sub(period, index))


def write_attention(qkv: Any, bias: Any, window: int) -> Any:
    """Write the operators of `attend`; sizes are read off `qkv` when the graph runs."""
    heads, depth, length = bias.shape[0], qkv.shape[1] // 3 // bias.shape[0], window * window
    height, width = op.Shape(qkv, start=2, end=3), op.Shape(qkv, start=3, end=4)
    filled = op.Gather(op.Gather(qkv, _reflected(height, window), axis=2), _reflected(width, window), axis=3)
    columns = op.Div(op.Shape(filled, start=3, end=4), _ints(window))
    lines = op.Reshape(filled, op.Concat(_ints(-1, window), columns, _ints(window), axis=0))
    windows = op.Reshape(op.Transpose(lines, perm=[0, 2, 1, 3]), _ints(3 * heads, depth, -1, length))
    found = []
    for head in range(heads):
        query, key, value = (op.Gather(windows, op.Constant(value_int=part * heads + head), axis=0) for part in range(3))
        scaled = op.Mul(query, op.Constant(value_float=depth**-0.5))
        added = op.Gather(bias, op.Constant(value_int=head), axis=0)
        # (windows, w w, d), (windows, d, w w), (windows, w w, d)
        found.append(
            _in_pieces(
                op.Transpose(scaled, perm=[1, 2, 0]),
                op.Transpose(key, perm=[1, 0, 2]),
                op.Transpose(value, perm=[1, 2, 0]),
                added,
            )
        )
    # (windows, w w, C) -> (C rows, columns, w, w) -> (1, C, H, W)
    joined = op.Transpose(op.Concat(*found, axis=2), perm=[2, 0, 1])
    parts = op.Reshape(joined, op.Concat(_ints(-1), columns, _ints(window, window), axis=0))
    rows = op.Shape(filled, start=2, end=3)
    whole = op.Reshape(
        op.Transpose(parts, perm=[0, 2, 1, 3]),
        op.Concat(_ints(1, heads * depth), rows, op.Shape(filled, start=3, end=4), axis=0),
    )
    return op.Slice(whole, _ints(0, 0), op.Concat(height, width, axis=0), _ints(2, 3))


def _in_pieces(query: Any, key: Any, value: Any, bias: Any) -> Any:
    count = op.Shape(query, start=0, end=1)
    size = op.Div(op.Add(count, _ints(PIECES - 1)), _ints(PIECES))
    # Windows of zeros make all pieces alike: WebGPU refuses empty ones.
    ends = op.Concat(_ints(0, 0, 0), op.Sub(op.Mul(size, _ints(PIECES)), count), _ints(0, 0), axis=0)
    query, key, value = (op.Pad(x, ends) for x in (query, key, value))
    parts = []
    for i in range(PIECES):
        start, stop = op.Mul(size, _ints(i)), op.Mul(size, _ints(i + 1))
        q, k, v = (op.Slice(x, start, stop, _ints(0)) for x in (query, key, value))
        scores = op.Add(op.MatMul(q, k), bias)
        parts.append(op.MatMul(op.Softmax(scores, axis=-1), v))
    return op.Slice(op.Concat(*parts, axis=0), _ints(0), count, _ints(0))


#: What the exporter writes for `attend`.
TRANSLATIONS: dict[Any, Callable[..., Any]] = {torch.ops.esc.attend.default: write_attention}
