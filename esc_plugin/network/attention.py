"""softmax(q k^T / sqrt(d) + bias) v, by the fastest kernel at hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import openvino_attention
from .biased_attention import BiasedAttention


class Bias(NamedTuple):
    """What is added to the attention scores: a matrix (n, w w, w w), or two factors (n, w w, r) of it."""

    matrix: Tensor | None = None
    query: Tensor | None = None
    key: Tensor | None = None


def kernel_dtype(matrix: Tensor, depth: int) -> torch.dtype:
    """Return the dtype that a bias matrix (n, L, L) should have for `attend`, with `depth` channels a head.

    On a CPU, torch's kernel is faster in float32 than in anything shorter; OpenVINO's isn't.
    """
    if matrix.device.type != "cpu" or openvino_attention.can_attend(matrix, depth):
        return matrix.dtype
    return torch.float32


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
        (3, windows, n, w w, d): queries, keys, values.
    bias : Bias
        Added to the scores. On a CPU, a matrix's dtype is the one to compute in, see `kernel_dtype`.

    Returns
    -------
    Tensor
        (windows, n, w w, d), of the dtype of `qkv`.
    """
    matrix = bias.matrix
    if matrix is None:
        return _attend_factors(qkv, bias)
    on_cpu = qkv.device.type == "cpu"
    dtype = matrix.dtype if on_cpu else qkv.dtype
    q, k, v = qkv.to(dtype).unbind(0)
    if on_cpu and dtype == torch.bfloat16:
        out = openvino_attention.attend(q, k, v, matrix)
    elif on_cpu and matrix.requires_grad and torch.is_grad_enabled():
        apply: Any = BiasedAttention.apply  # torch declares no types here
        out = apply(q, k, v, matrix)
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=matrix[None].to(dtype))
    return out.to(qkv.dtype)


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
