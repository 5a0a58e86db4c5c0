"""The means before the dynamic kernels: collected from an image, given beforehand, or shared with other processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ..network.program import mean_of


@dataclass(frozen=True)
class ProcessGroup:
    """What joins the processes that work on bands of one image.

    Attributes
    ----------
    reduce : callable
        ``reduce(tensor) -> tensor``: the sum of the float64 tensors of all processes, the same for each.
    index, count : int
        Which process of how many this one is.
    """

    reduce: Callable[[Tensor], Tensor]
    index: int
    count: int

    def part(self, length: int) -> tuple[int, int]:
        """Return which rows of `length` this process counts; each row is counted by one."""
        return length * self.index // self.count, length * (self.index + 1) // self.count


@dataclass
class Means:
    """The means of a run, in the order of its steps.

    Attributes
    ----------
    values : list of Tensor
        (B, P) float32. Those that are there beforehand are taken as they are, the others are added.
    group : ProcessGroup, optional
        Other processes whose sums belong to the same image.
    agreed : bool
        Whether they have been asked for a flag.
    """

    values: list[Tensor] = field(default_factory=list)
    group: ProcessGroup | None = None
    agreed: bool = False

    def known(self, number: int) -> Tensor | None:
        """Return a mean if there is no need to look for it."""
        return self.values[number] if number < len(self.values) else None

    def settle(self, total: Tensor, pixels: int) -> Tensor:
        """Turn the sum over the pixels of this process, (parts, B, P), into the next mean."""
        mean = mean_of(self.group.reduce(total) if self.group else total, pixels)
        self.values.append(mean)
        return mean

    def any(self, flag: Tensor) -> bool:
        """Whether a flag is set, in any of the processes.

        They are asked once: who walks again, because its data says so, does that alone.
        """
        if self.group is None or self.agreed:
            return bool(flag)
        self.agreed = True
        return bool(self.group.reduce(flag.cpu().double()) > 0)
