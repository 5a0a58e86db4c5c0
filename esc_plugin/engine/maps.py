"""Where a feature map lives while an image streams through the network: on the device, in host memory, or in a file.

All three hold (B, H, W, C) and hand out (B, C, h, w) in channels_last order, which is what the convolutions like best.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from math import prod
from threading import Lock
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..errors import EscError
from ..network.grid import Region
from ..workplace import temporary_folder

Storage = Literal["device", "host", "disk"]


class Source(Protocol):
    """Something that an image can be read from, piece by piece."""

    def read(self, region: Region) -> Tensor:
        """Return the pixels of a region as (B, C, h, w), on any device."""
        ...


class Sink(Protocol):
    """Something that takes the output, piece by piece; every pixel comes once."""

    def write(self, region: Region, tensor: Tensor) -> None:
        """Take (B, C, h, w)."""
        ...


class TensorMap:
    """A map in memory, the device's or the host's."""

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device, pin: bool) -> None:
        self.data = torch.empty(shape, dtype=dtype, device=device, pin_memory=pin)

    def read(self, region: Region) -> Tensor:
        """See `Source`. The result is a view."""
        return self.data[:, region.top : region.bottom, region.left : region.right].permute(0, 3, 1, 2)

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `Sink`."""
        self.read(region).copy_(tensor, non_blocking=False)

    def close(self) -> None:
        """Free the memory."""
        self.data = torch.empty(0)


class FileMap:
    """A map in an unnamed temporary file: whatever happens to the process, nothing stays behind.

    It is read and written by rows rather than memory-mapped, because mapped pages would count as memory of the process.
    Threads may do so at the same time: some chunks are read and written while others are computed. If the disk fails, that
    is an `EscError`.
    """

    def __init__(self, shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        self.pixel = shape[3] * dtype.itemsize
        self.file = tempfile.TemporaryFile(prefix="esc-", buffering=0)  # noqa: SIM115  # lives as long as the map
        self.lock = Lock()  # of the place in the file, on systems where reads and writes have none of their own
        try:
            # Claimed now, so that a full disk is an error before the work and not in its middle.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.file.fileno(), 0, prod(shape) * dtype.itemsize)
            else:
                self.file.truncate(prod(shape) * dtype.itemsize)
        except OSError:
            self.file.close()
            raise

    def read(self, region: Region) -> Tensor:
        """See `Source`."""
        batch, _, _, channels = self.shape
        block = torch.empty((batch, region.height, region.width, channels), dtype=self.dtype)
        for offset, row in self._rows(region, block):
            self._all(self._read_at, row, offset)
        return block.permute(0, 3, 1, 2)

    def write(self, region: Region, tensor: Tensor) -> None:
        """See `Sink`."""
        block = tensor.permute(0, 2, 3, 1).to("cpu", self.dtype).contiguous()
        for offset, row in self._rows(region, block):
            self._all(self._write_at, row, offset)

    def _rows(self, region: Region, block: Tensor) -> Iterator[tuple[int, memoryview]]:
        """Pair each row of a contiguous block with its place in the file; whole-width blocks are one row."""
        batch, height, width, _ = self.shape
        data = block.view(torch.uint8).numpy().reshape(batch, region.height, -1)
        for b in range(batch):
            first = ((b * height + region.top) * width + region.left) * self.pixel
            if region.width == width:
                yield first, data[b].reshape(-1).data
            else:
                for y in range(region.height):
                    yield first + y * width * self.pixel, data[b, y].data

    def _all(self, move: Callable[[memoryview, int], int], view: memoryview, offset: int) -> None:
        """Move all bytes of a row, of which a call may move only some."""
        while view:
            try:
                moved, reason = move(view, offset), f"it ended at byte {offset}"
            except OSError as error:
                moved, reason = 0, error.strerror or str(error)
            if not moved:
                raise EscError(f"a temporary file in {temporary_folder()!r} failed: {reason}; set TMPDIR.")
            view, offset = view[moved:], offset + moved

    def _read_at(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [view], offset)
        with self.lock:
            self.file.seek(offset)
            return self.file.readinto(view)

    def _write_at(self, view: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self.file.fileno(), view, offset)
        with self.lock:
            self.file.seek(offset)
            return self.file.write(view)

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            self.file.close()


def make_map(
    storage: Storage, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> TensorMap | FileMap:
    """Make an empty map (B, H, W, C) of `dtype` that lives where `storage` says."""
    if storage == "disk":
        return FileMap(shape, dtype)
    if storage == "host":
        return TensorMap(shape, dtype, torch.device("cpu"), pin=device.type == "cuda")
    return TensorMap(shape, dtype, device, pin=False)
