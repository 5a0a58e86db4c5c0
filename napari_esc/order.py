"""Tasks on one layer or several, as one piece of work."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

from esc_plugin.device import free_host_bytes
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_notes import Channel
from esc_plugin.progress import Cancel, Progress, part_of
from esc_plugin.session.saved import check_saved, joined
from esc_plugin.session.task import Settings, Task

from .geometry import Region
from .source import Source

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.session.work import Estimate, Result

#: Of the free memory, how much results may take.
SHARE_OF_MEMORY = 0.6


@dataclass(frozen=True)
class Order:
    """One task or more, each with what it is taken from."""

    parts: tuple[tuple[Source, Task], ...]

    @classmethod
    def of(cls, regions: Sequence[tuple[Image, Region]], settings: Callable[[Image], Settings]) -> Order:
        """Take from layers what is needed; they may change afterwards.

        Raises
        ------
        EscError
            If one of them can't be worked with.
        """
        sources = [(Source.of(layer), region, settings(layer)) for layer, region in regions]
        return cls(tuple((source, source.task(region, chosen)) for source, region, chosen in sources))

    @property
    def tasks(self) -> list[Task]:
        """What is to be done."""
        return [task for _, task in self.parts]

    @property
    def settings(self) -> Settings:
        """What is wanted; of several layers, only levels of intensity may differ."""
        return self.parts[0][1].settings

    @property
    def title(self) -> str:
        """For people."""
        first, more = self.parts[0][1].title, len(self.parts) - 1
        return f"{first} and {more} more" if more else first

    @property
    def identity(self) -> Hashable:
        """Equal for orders that would make the same."""
        return tuple((source.key, str(task.region), task.settings) for source, task in self.parts)

    @property
    def nbytes(self) -> int:
        """Size of all results."""
        return sum(task.nbytes for task in self.tasks)

    @property
    def too_large(self) -> bool:
        """Whether results need more memory than there is, and no file was named."""
        return not self.settings.store and self.nbytes > SHARE_OF_MEMORY * free_host_bytes()

    def check(self) -> None:
        """Raise an `EscError` unless results can go where they are wanted."""
        if self.settings.store:
            check_saved(self.tasks, self._about)

    @property
    def _about(self) -> list[tuple[Axes, Channel]]:
        return [source.described(task) for source, task in self.parts]

    def estimate(self, progress: Progress, cancel: Cancel) -> list[Estimate]:
        """Return what each task takes."""
        return [_work().estimate(task) for task in self.tasks]

    def run(self, progress: Progress | None = None, cancel: Cancel | None = None) -> list[Result]:
        """Make all results: in memory, or as channels of one file."""
        if self.settings.store:
            whole = joined(self.tasks, self._about)
            saved: list[Result] = _work().save(self.tasks, whole, progress=progress, cancel=cancel)
            return saved
        return self._each(_work().run, progress, cancel)

    def preview(self, progress: Progress | None = None, cancel: Cancel | None = None) -> list[Result]:
        """Make previews."""
        return self._each(_work().preview, progress, cancel)

    def lazy(self, progress: Progress | None = None, cancel: Cancel | None = None) -> list[Result]:
        """Prepare results whose pixels are made when they are looked at."""
        return self._each(_work().lazy, progress, cancel)

    def _each(self, do: Callable[..., Result], progress: Progress | None, cancel: Cancel | None) -> list[Result]:
        count = len(self.parts)
        return [do(task, progress=part_of(progress, i, count), cancel=cancel) for i, task in enumerate(self.tasks)]


def _work() -> ModuleType:
    """Return what does it: torch comes with it."""
    from esc_plugin.session import work

    return work
