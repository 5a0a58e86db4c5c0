"""Attention with a bias that is trained too, on a processor.

The fused kernels give no gradient to an additive mask, so PyTorch falls back to plain matrices over all windows at
once, which don't fit into the caches. Here the way forward is the fused kernel, and the way back makes the scores
again, a few windows at a time: about four times faster for windows of 16.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Scores that are worked on at once.
CHUNK = 2**18


class BiasedAttention(torch.autograd.Function):
    """softmax(q k^T / sqrt(d) + bias) v, with gradients for all four."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """q, k, v (windows, n, L, d) and bias (n, L, L) -> (windows, n, L, d)."""
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None].to(q.dtype))
        ctx.save_for_backward(q, k, v, bias, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """With P = softmax(scores): dS = P (dP - rowsum(dout out)), where dP = dout v^T."""
        tensors, bias = (*ctx.saved_tensors[:3], ctx.saved_tensors[4], grad), ctx.saved_tensors[3]
        grads = [torch.empty_like(t) for t in tensors[:3]]
        bias_grad, scale = torch.zeros_like(bias), tensors[0].shape[-1] ** -0.5
        windows = max(CHUNK // bias.numel(), 1)
        # Made once, so that they stay in the cache.
        weights, scores = bias.new_empty(2, min(windows, len(grad)), *bias.shape)
        for start in range(0, len(grad), windows):
            part = slice(start, start + windows)
            q, k, v, out, dout = (t[part].to(bias.dtype) for t in tensors)
            weights, scores = weights[: len(q)], scores[: len(q)]
            q = q * scale
            torch.matmul(q, k.mT, out=weights)
            torch.softmax(weights.add_(bias), -1, out=weights)
            grads[2][part] = torch.matmul(weights.mT, dout)
            torch.matmul(dout, v.mT, out=scores)
            scores.sub_((dout * out).sum(-1, keepdim=True)).mul_(weights)
            bias_grad += scores.sum(0)
            grads[0][part] = torch.matmul(scores, k) * scale
            grads[1][part] = torch.matmul(scores.mT, q)
        return (*grads, bias_grad)
