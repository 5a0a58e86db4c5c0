"""Threads of a processor that each take whole pieces of work, such as a part of a batch.

torch shares each operation among its threads, which wait for each other at its end, and spin meanwhile. Where other programs
want the cores too, one of them is always late: an iteration that takes one thread 0.4 s took two threads 10 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..device import limited_threads, usable_threads

T = TypeVar("T")
R = TypeVar("R")


def crew_size(device: torch.device) -> int:
    """Return how many threads may work on a device: those that torch may use here; one where a processor only waits."""
    return usable_threads() if device.type == "cpu" else 1


class Crew:
    """Threads that use one of torch's threads each; within the context the calling thread does so, too.

    A crew of one has no threads of its own, and leaves the caller all of torch's.

    Parameters
    ----------
    size : int
    """

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._pool: ThreadPoolExecutor | None = None
        self._left = ExitStack()

    def __enter__(self) -> Crew:
        if self.size > 1:
            self._left.enter_context(limited_threads(1))
            self._pool = self._left.enter_context(ThreadPoolExecutor(self.size, "esc", torch.set_num_threads, (1,)))
        return self

    def __exit__(self, *_: object) -> None:
        self._pool = None
        self._left.close()

    @property
    def parts(self) -> int:
        """Into how many parts to divide what is to be done."""
        return self.size if self._pool else 1

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Return what a function makes of each item, in their order."""
        return list((self._pool.map if self._pool else map)(function, items))

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Give the calling thread all of torch's threads meanwhile, for work that shares them out itself."""
        before = torch.get_num_threads()
        torch.set_num_threads(max(self.size, before))
        try:
            yield
        finally:
            torch.set_num_threads(before)


def mean_loss(
    crew: Crew, loss: Callable[..., Tensor], batch: tuple[Tensor, ...], parameters: Iterable[torch.nn.Parameter]
) -> Tensor:
    """Return the mean of a loss over a batch, which is divided among a crew; gradients are made along with it.

    They are added in the order of the parts: the same number of threads makes the same bits.

    Parameters
    ----------
    crew : Crew
    loss : callable
        ``loss(*part)``, the mean over a part.
    batch : tuple of Tensor
        Each with one entry per sample.
    parameters : iterable of Parameter
        What gradients are wanted for.
    """
    samples = len(batch[0])
    parts = min(crew.parts, samples)
    if parts == 1:
        return loss(*batch)
    made: Any = _MeanLoss.apply  # torch declares no types here
    shares = list(zip(*(tensor.tensor_split(parts) for tensor in batch), strict=True))
    result: Tensor = made(crew, loss, shares, samples, *parameters)
    return result


class _MeanLoss(torch.autograd.Function):
    """Forward and back at once, so that no thread waits for others in between."""

    @staticmethod
    def forward(ctx: Any, crew: Crew, loss: Callable[..., Tensor], shares: Any, samples: int, *parameters: Tensor) -> Tensor:
        """Return the loss (), and keep its gradients."""
        precision = _autocast()

        def work(share: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor]]:
            with torch.enable_grad(), precision():
                value = loss(*share) * (len(share[0]) / samples)
            return value.detach(), list(torch.autograd.grad(value, parameters, materialize_grads=True))

        (total, gradients), *others = crew.map(work, shares)
        for value, more in others:
            total = total + value
            torch._foreach_add_(gradients, more)
        ctx.gradients = gradients
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return what forward made."""
        return (None, None, None, None, *torch._foreach_mul(ctx.gradients, grad))


def _autocast() -> Callable[[], Any]:
    """Return what makes this thread's precision, for other threads."""
    if not torch.is_autocast_enabled("cpu"):
        return nullcontext
    dtype = torch.get_autocast_dtype("cpu")
    # Threads would share what is kept; a weight is only used once anyway.
    return lambda: torch.autocast("cpu", dtype, cache_enabled=False)
