"""Batches by number: what a batch holds follows from the seed and its number alone, whoever makes it and whenever."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..arrays.bicubic import mirrored
from .images import Images
from .pairs.maker import PairMaker


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Batches of pairs.

    Parameters
    ----------
    images : Images
    maker : PairMaker
    batch : int
        Patches of a batch, over all devices.
    seed : int
    rank, world : int
        This device among all: it makes every `world`-th patch of a batch, beginning with the one of number `rank`.
    chances : numpy.ndarray, optional
        How often a patch is taken from each image, (N,); by default it goes by area.
    """

    def __init__(
        self,
        images: Images,
        maker: PairMaker,
        batch: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        chances: np.ndarray | None = None,
    ) -> None:
        self.images, self.maker, self.batch, self.seed = images, maker, batch, seed
        self.rank, self.world = rank, world
        chances = images.areas if chances is None else chances
        self._ends = np.cumsum(chances) / chances.sum()

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the low- and high-resolution patches of a batch, (B, 3, h, w) and (B, 3, H, W), float32 in 0..1."""
        size = self.maker.size(np.random.default_rng([self.seed, number, 0]))
        pairs = [self._pair(number, i, size) for i in range(self.rank, self.batch, self.world)]
        low, high = zip(*pairs, strict=True)
        return torch.stack(low), torch.stack(high)

    def _pair(self, number: int, i: int, size: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, number, 1 + i])
        image = self.images[min(int(np.searchsorted(self._ends, rng.random(), "right")), len(self.images) - 1)]
        top, left = (int(rng.integers(0, length - size + 1)) for length in image.shape[:2])
        low, high = self.maker.make(patch_of(image, top, left, size, self.maker.margin), rng)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        return turned(low, turns, flip), turned(high, turns, flip)


def patch_of(image: np.ndarray, top: int, left: int, size: int, margin: int) -> np.ndarray:
    """Cut out (size + 2 margin, size + 2 margin, c); beyond the border the image is mirrored, the edge repeated."""
    starts, height, width = (top - margin, left - margin), *image.shape[:2]
    edge = size + 2 * margin
    if min(starts) >= 0 and starts[0] + edge <= height and starts[1] + edge <= width:
        return image[starts[0] : starts[0] + edge, starts[1] : starts[1] + edge]
    rows, columns = (np.arange(start, start + edge) for start in starts)
    beyond: np.ndarray = image[mirrored(rows, height)[:, None], mirrored(columns, width)]
    return beyond


def turned(image: Tensor, turns: int, flip: bool) -> Tensor:
    """(c, h, w), h = w -> (3, h, w) after quarter turns and a flip; gray becomes three equal channels."""
    image = torch.rot90(image, turns, (1, 2))
    return (image.flip(2) if flip else image).expand(3, -1, -1)


class From(Sampler[int]):
    """The numbers of batches without end, beginning with the one that is next when the loop begins."""

    def __init__(self, first: Callable[[], int]) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        number = self.first()
        while True:
            yield number
            number += 1
