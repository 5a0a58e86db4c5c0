"""Several processes as threads of one: they meet as processes do, but need no network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import torch
import torch.distributed as dist

from esc_plugin.cluster.group import Group


class Meeting:
    """Adds up tensors of threads, and counts how often."""

    def __init__(self, size: int) -> None:
        self.barrier, self.parts, self.sums = Barrier(size, timeout=60), [torch.zeros(0)] * size, 0
        self.board = dist.HashStore()

    def add(self, rank: int) -> Callable[[torch.Tensor], None]:
        def add(tensor: torch.Tensor) -> None:
            self.parts[rank] = tensor.clone()
            if self.barrier.wait() == 0:
                self.sums += 1
            total = sum(self.parts[1:], self.parts[0])
            self.barrier.wait()
            tensor.copy_(total)

        return add

    def group(self, rank: int) -> Group:
        return Group(rank, len(self.parts), self.add(rank), self.board, rank)


def in_threads(size: int, work: Callable[[Group], Any], meeting: Meeting | None = None) -> list[Any]:
    """Let `size` threads do some work; return what each returned or raised."""
    meeting = meeting or Meeting(size)

    def done(rank: int) -> Any:
        try:
            return work(meeting.group(rank))
        except BaseException as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(done, range(size)))
