"""softmax(q k^T / sqrt(d) + bias) v, by the fastest kernel at hand."""

from __future__ import annotations

from typing import NamedTuple

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


def attend(qkv: Tensor, bias: Bias) -> Tensor:
    """Attend within each window.

    Parameters
    ----------
    qkv : Tensor
        (3, windows, n, w w, d): queries, keys, values.
    bias : Bias
        Added to the scores.

    Returns
    -------
    Tensor
        (windows, n, w w, d), of the dtype of `qkv`.
    """
    if bias.matrix is None:
        return _attend_factors(qkv, bias)
    if openvino_attention.can_attend(qkv):
        return openvino_attention.attend(qkv, bias.matrix)
    dtype = kernel_dtype(qkv)
    q, k, v = qkv.to(dtype).unbind(0)
    if bias.matrix.requires_grad and torch.is_grad_enabled() and q.device.type == "cpu":
        return BiasedAttention.apply(q, k, v, bias.matrix).to(qkv.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.matrix[None].to(dtype)).to(qkv.dtype)


def kernel_dtype(like: Tensor) -> torch.dtype:
    """Return what `attend` computes in, for tensors like this one: torch's kernel for CPUs is fastest in float32."""
    short = like.device.type != "cpu" or (like.dtype == torch.bfloat16 and openvino_attention.installed())
    return like.dtype if short else torch.float32


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
