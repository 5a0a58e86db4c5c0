"""How alike two layers see the same image: centred kernel alignment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return the linear centred kernel alignment of two sets of features.

    By the form in feature space of Kornblith et al., "Similarity of Neural Network Representations Revisited" (ICML 2019,
    arXiv 1905.00414, section 3): ``|y'x|^2 / (|x'x| |y'y|)`` with Frobenius norms and centred columns, which never makes the
    n x n Gram matrices.

    Parameters
    ----------
    x, y : Tensor
        (n, C) and (n, D): features of the same n examples, here pixels.

    Returns
    -------
    float
        0 to 1; 1 where one is the other but for rotation, reflection, shift and scale. 0 if either is constant.
    """
    return float(similarity_matrix([x, y])[0, 1])


def similarity_matrix(features: Sequence[Tensor]) -> Tensor:
    """Return `linear_cka` of each with each, (L, L), float64."""
    centred = [(f - f.mean(0)).double() for f in features]
    shared = torch.stack([torch.stack([(y.T @ x).square().sum() for x in centred]) for y in centred])
    norms = shared.diagonal().sqrt()  # of x'x
    return shared / torch.outer(norms, norms).clamp(min=torch.finfo(torch.float64).tiny)
