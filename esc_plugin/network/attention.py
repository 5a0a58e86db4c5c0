"""softmax(q k^T / sqrt(d) + bias) v, by the fastest kernel at hand."""

from __future__ import annotations

from math import isqrt
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import native_attention
from .biased_attention import BiasedAttention
from .layers import needs_gradient


class Bias(NamedTuple):
    """What is added to the attention scores, in one of three forms.

    Attributes
    ----------
    matrix : Tensor
        (n, w w, w w), for each query and key.
    table : Tensor
        (n, 2 w - 1, 2 w - 1), for each relative position.
    query, key : Tensor
        (n, w w, r), factors of the matrix.
    """

    matrix: Tensor | None = None
    table: Tensor | None = None
    query: Tensor | None = None
    key: Tensor | None = None


def makes_scores(device: torch.device, depth: int) -> bool:
    """Tell whether `attend` holds the scores of all its windows at once, with vectors of `depth`, to plan memory.

    The kernel for CPUs never does. CUDA's wants vectors of a multiple of 8, other devices may have none.
    """
    return device.type not in ("cpu", "meta", "cuda") or (device.type == "cuda" and depth % 8 > 0)


def attend(qkv: Tensor, bias: Bias) -> Tensor:
    """Attend within each window.

    Parameters
    ----------
    qkv : Tensor
        (windows, w w, 3, n, d): queries, keys, values.
    bias : Bias
        Added to the scores.

    Returns
    -------
    Tensor
        (windows, w w, n, d), of the dtype of `qkv`.
    """
    given = [t for t in (bias.table, bias.query, bias.key) if t is not None]
    plain = given and not needs_gradient(qkv, *given) and not torch.compiler.is_compiling()
    if plain and native_attention.has_kernel(qkv, isqrt(qkv.shape[1]), qkv.shape[-1]):
        return native_attention.attend(qkv, *given)
    matrix = matrix_of(bias.table) if bias.table is not None else bias.matrix
    heads_first = qkv.permute(2, 0, 3, 1, 4)  # (3, windows, n, w w, d)
    out = _attend_factors(heads_first, bias) if matrix is None else _attend_matrix(heads_first, matrix)
    return out.transpose(1, 2)


def matrix_of(table: Tensor) -> Tensor:
    """Return the bias of each query and key, (n, w w, w w), from that of each relative position, (n, 2 w - 1, 2 w - 1)."""
    w = (table.shape[-1] + 1) // 2
    # bias[h, q, k] = table[h, row_k - row_q + w - 1, col_k - col_q + w - 1]: key minus query, so a query's row of the
    # matrix is a window that slides backwards over the table.
    windows = table.unfold(1, w, 1).unfold(2, w, 1).flip(1, 2)  # (n, row_q, col_q, row_k, col_k)
    return windows.reshape(-1, w * w, w * w)


def _attend_matrix(qkv: Tensor, matrix: Tensor) -> Tensor:
    on_cpu = qkv.device.type == "cpu"
    dtype = torch.float32 if on_cpu else qkv.dtype  # torch's kernel for processors is faster in it than in anything shorter
    q, k, v = qkv.to(dtype).unbind(0)
    if on_cpu and matrix.requires_grad and torch.is_grad_enabled():
        apply: Any = BiasedAttention.apply  # torch declares no types here
        out = apply(q, k, v, matrix)
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=matrix[None].to(dtype))
    found: Tensor = out.to(qkv.dtype)
    return found


def _attend_factors(qkv: Tensor, bias: Bias) -> Tensor:
    assert bias.query is not None
    assert bias.key is not None
    # q k^T / sqrt(d) + bq bk^T is one product of longer vectors; the matrix (w^4 values a head) never exists.
    q, k, v = qkv.unbind(0)
    depth, rank = q.shape[-1], bias.query.shape[-1]
    q = torch.cat([q * depth**-0.5, bias.query.to(q.dtype).expand(q.shape[0], -1, -1, -1)], -1)
    k = torch.cat([k, bias.key.to(k.dtype).expand(k.shape[0], -1, -1, -1)], -1)
    # The fused kernels want one length for all three.
    return F.scaled_dot_product_attention(q, k, F.pad(v, (0, rank)), scale=1.0)[..., :depth]
