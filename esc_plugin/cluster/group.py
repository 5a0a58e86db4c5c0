"""Processes that work in lockstep: they add up numbers now and then, and learn there that another one has failed.

All that they ever do together is one sum of `SLOTS` numbers. So there is one place where one may wait for another, and a
process that fails only has to join the next sum, whichever that is. Texts lie on a board that all can read.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import Cancelled, EscError
from ..texts import printable
from .launch import Launch, launched

#: Numbers of one sum.
SLOTS = 256
#: Seconds that a process waits for the others.
TIMEOUT = 1800.0
#: Seconds that rank 0 keeps the board after others were lost.
LINGER = 3.0


class LostError(EscError):
    """Other processes are gone, or keep this one waiting for too long."""


class Board(Protocol):
    """Texts by name, for all processes; `torch.distributed.Store` is one."""

    def set(self, key: str, value: str, /) -> None:
        """Write a text."""

    def get(self, key: str, /) -> bytes:
        """Read a text."""

    def check(self, keys: list[str], /) -> bool:
        """Whether all of these are there."""


@dataclass
class Group:
    """A process among others.

    Attributes
    ----------
    rank, size : int
        Which of how many.
    add : callable
        ``add(tensor)`` replaces a float64 tensor by the sum of those of all processes, once all have come; a
        `RuntimeError` says that they won't.
    board : Board, optional
        For texts; who is alone needs none.
    local_rank : int
        Which of the processes of this machine.
    timeout : float
        Seconds after which `add` gives up, for its error.
    lost : bool
        Whether others are gone, so that nothing can be done together any more.
    """

    rank: int
    size: int
    add: Callable[[Tensor], None] = lambda _: None
    board: Board | None = None
    local_rank: int = 0
    timeout: float = TIMEOUT
    lost: bool = False
    _position: int = 0
    _told: BaseException | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size}"

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of the float64 tensors of all processes.

        Raises
        ------
        EscError
            If one of them has failed, is gone, or doesn't come in time.
        """
        if self.size == 1:
            return values
        flat = values.detach().to("cpu", torch.float64).flatten()
        total = torch.cat([self._exchange(part) for part in flat.split(SLOTS)])
        return total.view(values.shape).to(values.device, values.dtype)

    def gather(self, text: str) -> list[str]:
        """Return the texts of all processes, by rank."""
        if self.size == 1:
            return [text]
        place = self._position + 1
        with self._others() as board:
            board.set(f"text/{place}/{self.rank}", text)
        self._exchange(torch.zeros(0))
        with self._others() as board:
            return [board.get(f"text/{place}/{rank}").decode() for rank in range(self.size)]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let a piece of work end alike in all processes: it is done when all are done, and fails in all if it does in one.

        Raises
        ------
        EscError
            One line that names the process and the reason; what isn't an `EscError` becomes one. Other processes can go on
            with the next piece of work after it, unless they are lost.
        """
        try:
            yield
            self.sum(torch.zeros(1))
        except BaseException as error:
            if error is self._told or self.lost:  # all know, or there is nobody left to tell
                raise
            mine = error if isinstance(error, EscError) or not isinstance(error, Exception) else self._named(error)
            self._tell(mine)
            self._told = mine
            if mine is error:
                raise
            raise mine from error

    def _named(self, error: Exception) -> EscError:
        reason = printable(" ".join(str(error).split()))
        return EscError(f"{self} failed: {type(error).__name__}{f': {reason}' if reason else ''}")

    def _tell(self, error: BaseException) -> None:
        """Join the next sum, and say there why it won't go on."""
        if self.size == 1:
            return
        stops = isinstance(error, Cancelled | KeyboardInterrupt | SystemExit)
        told = ("cancelled", "cancelled.") if stops else ("failed", str(error))
        with suppress(EscError):  # it ends in this process with what began it
            with self._others() as board:
                board.set(f"failed/{self._position + 1}/{self.rank}", json.dumps(told))
            self._exchange(torch.zeros(0), failed=True)

    def _exchange(self, values: Tensor, failed: bool = False) -> Tensor:
        numbers = torch.zeros(2 + SLOTS, dtype=torch.float64)
        numbers[0], numbers[1] = failed, self._position + 1
        numbers[2 : 2 + len(values)] = values
        with self._others() as board:
            board.set(f"here/{self.rank}", str(self._position + 1))
            self.add(numbers)
        self._position += 1  # not before: Ctrl-C may come in between
        if numbers[0]:
            self._told = self._failure()
            raise self._told
        if numbers[1] != self.size * self._position:
            raise EscError("the processes are out of step, which is a fault of this program; nothing of this can be kept.")
        return numbers[2 : 2 + len(values)]

    def _failure(self) -> EscError:
        """Return why some have failed."""
        told = {}
        with self._others() as board:
            for rank in range(self.size):
                if board.check([key := f"failed/{self._position}/{rank}"]):
                    told[rank] = json.loads(board.get(key))
            self.add(torch.zeros(2 + SLOTS, dtype=torch.float64))  # all have read it: rank 0 may end, and the board with it
        # A cancelled process often takes others with it; a fault is what one wants to know of.
        for rank, (kind, reason) in sorted(told.items(), key=lambda item: item[1][0] == "cancelled"):
            text = reason if reason.startswith("rank ") else f"rank {rank} of {self.size}: {reason}"
            return Cancelled(text) if kind == "cancelled" else EscError(text)
        return EscError("another process has failed.")

    @contextmanager
    def _others(self) -> Iterator[Board]:
        """Give the board, and tell in one line that others are gone."""
        assert self.board is not None
        try:
            yield self.board
        except RuntimeError as error:
            self.lost = True
            raise LostError(f"{self} waits for others in vain: {self._absent(self.board)} ({_first_line(error)}).") from None

    def _absent(self, board: Board) -> str:
        """Return who hasn't come to where this process waits."""
        try:
            absent = [str(rank) for rank in range(self.size) if not self._is_here(board, rank)]
        except RuntimeError:
            return "rank 0 is gone"  # it keeps the board
        if not absent:
            return "a connection broke"
        return f"rank {', '.join(absent)} was ended, or is more than {self.timeout:g} s late"

    def _is_here(self, board: Board, rank: int) -> bool:
        return board.check([key := f"here/{rank}"]) and int(board.get(key)) > self._position


def _first_line(error: Exception) -> str:
    """Return the first sentence of what PyTorch says, without the place in its source."""
    return re.sub(r"^\[[^]]*\] ", "", re.split(r"\.?\n|\. ", str(error).strip())[0]).rstrip(".")


@contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Group]:
    """Join the processes that were started together, such as by ``torchrun``; alone, be a group of one.

    Sums go over the network by gloo, also where models run on GPUs: some numbers a layer, in float64.

    Parameters
    ----------
    timeout : float
        Seconds that a process waits for the others, at the beginning and for each sum. It has to be longer than what one
        may need for a layer of the network more than another one, and than rank 0 needs to measure the levels of an image.

    Raises
    ------
    EscError
        If they don't come together.
    """
    launch = launched()
    if launch is None:
        yield Group(0, 1)
        return
    if not dist.is_available() or not dist.is_gloo_available():
        raise EscError("this PyTorch was built without gloo, over which several processes would add their sums.")
    try:
        store = _meet(launch, timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        raise EscError(
            f"rank {launch.rank} of {launch.size} doesn't find the others at {launch.host}:{launch.port} within "
            f"{timeout:g} s ({_first_line(error)})."
        ) from None
    board = dist.PrefixStore("esc", store)
    group = Group(launch.rank, launch.size, dist.all_reduce, board, launch.local_rank, timeout)
    try:
        yield group
    finally:
        dist.destroy_process_group()
        if group.lost and launch.rank == 0:
            time.sleep(LINGER)  # the others lose the connection now, and look at the board for who is missing


def _meet(launch: Launch, timeout: timedelta) -> dist.Store:
    # Of torchrun, the agent keeps the store; else rank 0 does.
    keeps = launch.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = dist.TCPStore(launch.host, launch.port, launch.size, keeps, timeout)
    dist.init_process_group("gloo", store=store, rank=launch.rank, world_size=launch.size, timeout=timeout)
    return store
