"""Two models whose results are mixed, as one upscaler: a sharp one beside a soft one, say."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from .arrays.blend import BlendSink
from .arrays.passes import checked_passes, pass_sizes
from .arrays.piece import Enlarge, Piece
from .arrays.sizes import Size
from .arrays.surveyed import RunSurvey
from .engine import Need, ProcessGroup
from .enlarge import Between
from .errors import EscError, ImageError
from .network import ESC
from .network.grid import Region
from .progress import share_of
from .request import Request, is_share
from .sampling import Estimator
from .survey import Sampling
from .upscaler import Upscaler
from .weights.model import Model

Part = TypeVar("Part", bound=Enlarge)


class Mixture(Upscaler):
    """Two upscalers as one, whose result is ``(1 - share) * first + share * second`` before it is rounded.

    Each makes the whole target by as many runs as it needs, so they may have different scales. All that an upscaler does,
    a mixture does: regions, surveys, lazy arrays. A survey is that of both, and serves any share. Each keeps its device and
    takes the precision and the memory limit of the first one.

    Parameters
    ----------
    first, second : Upscaler
        What is mixed; without a size, the result is scaled by the first one's scale.
    share : float
        How much of the second there is, 0 to 1.

    Raises
    ------
    ImageError
        If the share is none.
    """

    def __init__(self, first: Upscaler, second: Upscaler, share: float = 0.5) -> None:
        if not is_share(share):
            raise ImageError(f"share must be a number from 0 to 1, not {share!r:.40}.")
        # Copies with the same networks: what is set here isn't set for who uses them on their own.
        self.first, self.second = (part.with_memory_limit(first.memory_limit) for part in (first, second))
        self.precision, self.share, self.device = first.precision, float(share), first.device
        self.threads = first.threads
        self.model = _pair(first.model, second.model, self.share)

    @property
    def parts(self) -> tuple[Upscaler, ...]:
        """The upscalers whose networks run."""
        return *self.first.parts, *self.second.parts

    @property
    def recipe(self) -> str:
        """What decides the pixels beside the options: the files of the models, and their shares."""
        return f"{1 - self.share!r} ({self.first.recipe}) + {self.share!r} ({self.second.recipe})"

    @property
    def precision(self) -> str:
        """What was asked for."""
        return self.first.precision

    @precision.setter
    def precision(self, precision: str) -> None:
        self.first.precision = self.second.precision = precision

    @property
    def memory_limit(self) -> int | None:
        """Bytes that may be used."""
        return self.first.memory_limit

    @memory_limit.setter
    def memory_limit(self, memory_limit: int | None) -> None:
        self.first.memory_limit = self.second.memory_limit = memory_limit

    def with_memory_limit(self, memory_limit: int | None) -> Mixture:
        """Return a mixture with another limit, and the same networks."""
        first, second = (upscaler.with_memory_limit(memory_limit) for upscaler in (self.first, self.second))
        return Mixture(first, second, self.share)

    def dtype_for(self, bits: int) -> torch.dtype:
        """Return the precision of the first one."""
        return self.first.dtype_for(bits)

    def precision_for(self, image: Any) -> str:
        """Return the names of the precisions of both."""
        return ", ".join(sorted({upscaler.precision_for(image) for upscaler in (self.first, self.second)}))

    def network(self, dtype: torch.dtype = torch.float32) -> ESC:
        """Return the network of the first one."""
        return self.first.network(dtype)

    def stream(self, *_: Any, **__: Any) -> RunSurvey:
        """Raise an `EscError`: there is no network of a mixture that could run."""
        raise EscError("a mixture runs no network of its own; call it, or run its parts.")

    def need(
        self, height: int, width: int, size: tuple[int, int] | None = None, *, bits: int = 32, caller_bytes: int = 0
    ) -> Need:
        """Return what the one that takes more asks of the memory, see `plan`."""
        target = size or (height * self.model.scale, width * self.model.scale)
        kept = Between.bytes_for(target)
        held = caller_bytes + (kept if Between.fits(kept, self._room(caller_bytes)) else 0)
        needs = [
            upscaler.need(height, width, size if upscaler.model.any_scale else None, bits=bits, caller_bytes=held)
            for upscaler in self.parts
        ]
        return max(needs, key=lambda need: need.program.cost * need.geometry.grid[0] * need.geometry.grid[1])

    def request(self, image: Any, **options: Any) -> Request:
        """Return what a call asks for; passes that are asked for are those of both."""
        request = super().request(image, **options)
        self._for_second(request)  # which must be able to do it
        return request

    def _for_second(self, request: Request) -> Request:
        """Return what is asked of the second one: the passes that it needs, or those that were asked for."""
        size, first, second = (request.layout.height, request.layout.width), self.first.model, self.second.model
        usual = len(pass_sizes(size, request.target, first.scale, first.any_scale)) - 1
        asked = None if request.passes == usual else checked_passes(request.passes, second.scale, second.any_scale)
        made = pass_sizes(size, request.target, second.scale, second.any_scale, asked)
        return replace(request, passes=len(made) - 1)

    def steps(self, request: Request) -> dict[str, Any]:
        """Return what a record says of how each gets to the target."""
        told = self.first.steps(request), self.second.steps(self._for_second(request))
        return told[0] | {"steps": "; ".join(steps["steps"] for steps in told)}

    def enlarger(self, request: Request, group: ProcessGroup | None = None) -> Enlarge:
        """Return what upscales planes."""
        first, second = self.first.enlarger(request, group), self.second.enlarger(self._for_second(request), group)
        return _MixedEnlarger(first, second, self.share, self._room(0))

    def sampler(self, request: Request, pixels: int) -> Estimator:
        """Return what estimates means from samples."""
        first, second = self.first.sampler(request, pixels), self.second.sampler(self._for_second(request), pixels)
        return _MixedSampler(first, second, self.share)

    def runs(self, request: Request) -> list[tuple[int, int]]:
        """Return the shapes of the means of all runs of a plane: those of the first one, then those of the second."""
        return self.first.runs(request) + self.second.runs(self._for_second(request))

    def _room(self, caller_bytes: int) -> int | None:
        limited = self.device.type == "cpu" and self.memory_limit is not None
        return (self.memory_limit or 0) - caller_bytes if limited else None


@dataclass(frozen=True)
class _Pair(Model):
    """Two models under one name; what is asked of one is what the first one says."""

    of: tuple[Model, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of those of both."""
        return hashlib.sha256(" ".join(model.fingerprint for model in self.of).encode()).hexdigest()


def _pair(first: Model, second: Model, share: float) -> Model:
    names = [f"({model.name})" if isinstance(model, _Pair) else model.name for model in (first, second)]
    name = f"{1 - share:.4g} {names[0]} + {share:.4g} {names[1]}"
    source, sha256 = (f"{getattr(first, key)} + {getattr(second, key)}" for key in ("source", "sha256"))
    return _Pair(first.network, first.config, name, source, sha256, {}, (first, second))


@dataclass(frozen=True)
class _Mixed(Generic[Part]):
    """What two that enlarge have in common as one, see `Enlarge`.

    Attributes
    ----------
    first, second : Enlarge
        What upscales.
    share : float
        How much of the second there is.
    """

    first: Part
    second: Part
    share: float

    def runs(self, size: Size, target: Size) -> int:
        """Return how many runs bring a plane to a target."""
        return self.first.runs(size, target) + self.second.runs(size, target)

    def reads(self, size: Size, target: Size, region: Region) -> Region:
        """Return what is read by any of both."""
        return self.first.reads(size, target, region).hull(self.second.reads(size, target, region))


@dataclass(frozen=True)
class _MixedEnlarger(_Mixed[Enlarge]):
    """Upscales planes by two others.

    Attributes
    ----------
    limit : int, optional
        Bytes of host memory that may be used.
    """

    limit: int | None

    @property
    def group(self) -> ProcessGroup | None:
        """The other processes that work on bands of the same planes."""
        return self.first.group

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """Run the first one into a map, and mix the second one in on the way to the sink."""
        count = self.first.runs(piece.size, piece.target)
        one = replace(piece, known=piece.known[:count], progress=share_of(piece.progress, 0, 0.5))
        other = replace(piece, known=piece.known[count:], progress=share_of(piece.progress, 0.5, 1))
        if not piece.sink or not self.runs(piece.size, piece.target):  # without runs, both would only filter
            return self.first(one) + self.second(replace(other, sink=None))
        limit = None if self.limit is None else self.limit - piece.caller_bytes
        with closing(Between(0, piece.region, limit)) as kept:
            held = piece.caller_bytes + kept.host_bytes
            mix = BlendSink(piece.sink, kept, self._weight)
            found = self.first(replace(one, sink=kept, caller_bytes=held))
            return found + self.second(replace(other, sink=mix, caller_bytes=held))

    def _weight(self, _: Region) -> np.ndarray:
        return np.full((1, 1), self.share, np.float32)


@dataclass(frozen=True)
class _MixedSampler(_Mixed[Estimator]):
    """Estimates the means of two models, see `Estimator`."""

    @property
    def group(self) -> None:
        """See `esc_plugin.sampling.Sampler`."""
        return

    @property
    def sampling(self) -> Sampling:
        """What was done: the most that was looked at, and the difference that both can make together."""
        one, other = self.first.sampling, self.second.sampling
        difference = (1 - self.share) * one.difference + self.share * other.difference
        return Sampling(max(one.samples, other.samples), max(one.pixels, other.pixels), difference)

    def __call__(self, piece: Piece) -> tuple[RunSurvey, ...]:
        """Estimate the means of the first one, then those of the second."""
        found = self.first(replace(piece, progress=share_of(piece.progress, 0, 0.5)))
        return found + self.second(replace(piece, progress=share_of(piece.progress, 0.5, 1)))
