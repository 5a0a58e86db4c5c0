"""How long a run will take, from the work that it is and the speed that this machine shows."""

from __future__ import annotations

import threading
import time
from functools import reduce
from itertools import pairwise
from typing import Any

import torch

from ..arrays.passes import pass_sizes
from ..enlarge import Enlarger
from ..network.grid import Region
from ..upscaler import Upscaler, bits_of

#: Edge of the image on which the speed is measured. A GPU needs a large one to be busy.
PROBE_CPU, PROBE_DEVICE = 96, 512
#: Seconds that a run must last for its speed to be believed.
LEAST_SECONDS = 1.0


def work(upscaler: Upscaler, size: tuple[int, int], target: tuple[int, int], passes: int | None = None) -> float:
    """Return the multiplications that bring a plane from one height and width to another."""
    return sum(_work(part, size, target, passes) for part in upscaler.parts)


def _work(upscaler: Upscaler, size: tuple[int, int], target: tuple[int, int], passes: int | None = None) -> float:
    model, total = upscaler.model, 0.0
    for seen, made in pairwise(pass_sizes(size, target, model.scale, model.any_scale, passes)):
        geometry = model.network.geometry(*seen, made)
        total += model.network.program(geometry).cost * geometry.grid[0] * geometry.grid[1]
    return total


def measure_rate(upscaler: Upscaler, bits: int = 32) -> float:
    """Return the multiplications per second for images of so many bits a value, by running a small one twice."""
    done, seconds = zip(*(_probed(part, bits) for part in upscaler.parts), strict=True)
    return float(sum(done) / sum(seconds))


def _probed(upscaler: Upscaler, bits: int) -> tuple[float, float]:
    """Return the multiplications of a small image, and the seconds that they took."""
    edge = PROBE_CPU if upscaler.device.type == "cpu" else PROBE_DEVICE
    image = torch.full((1, 3, edge, edge), 0.5)
    upscaler.run(image, bits=bits)  # the first one warms up
    start = time.perf_counter()
    output = upscaler.run(image, bits=bits).shape
    seconds = time.perf_counter() - start
    return _work(upscaler, (edge, edge), (output[2], output[3])), seconds


def seconds_for(
    upscaler: Upscaler, size: tuple[int, int], target: tuple[int, int], bits: int = 32, passes: int | None = None
) -> float:
    """Return about how long it takes to bring a plane from one height and width to another, measured on a small one."""
    return work(upscaler, size, target, passes) / measure_rate(upscaler, bits)


class Speed:
    """How fast an upscaler is, by precision: seen on a small image the first time it is asked, and then from real runs.

    Threads may share it.
    """

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}  # multiplications per second, by precision
        self._measuring = threading.Lock()

    def seconds(
        self,
        upscaler: Upscaler,
        image: Any,
        size: tuple[int, int],
        target: tuple[int, int],
        region: Region | None = None,
        passes: int | None = None,
    ) -> float:
        """Predict how long it takes to bring a plane of an image from `size` to `target`, height and width.

        Of a region of the target, whose surroundings cost too, the prediction is at most half too long.
        """
        precision = upscaler.precision_for(image)
        with self._measuring:
            if precision not in self.rates:
                self.rates[precision] = measure_rate(upscaler, bits_of(image))
        read = Region(0, 0, *size)
        if region:
            reads = [Enlarger(part, passes=passes).reads(size, target, region) for part in upscaler.parts]
            read = reduce(Region.hull, reads)
        whole = work(upscaler, size, target, passes) / self.rates[precision]
        return whole * read.height * read.width / (size[0] * size[1])

    def learn(
        self,
        upscaler: Upscaler,
        image: Any,
        size: tuple[int, int],
        target: tuple[int, int],
        planes: int,
        seconds: float,
        passes: int | None = None,
    ) -> None:
        """Take over what a run of so many planes has shown, unless it was too short to tell."""
        if seconds > LEAST_SECONDS and (done := work(upscaler, size, target, passes) * planes):
            self.rates[upscaler.precision_for(image)] = done / seconds
