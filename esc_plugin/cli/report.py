"""What a user is told about each file of ``esc-sr upscale``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EscError
from .terminal import complain, plain, say

if TYPE_CHECKING:
    from ..batch.jobs import Job
    from ..files import Picture


@dataclass
class Report:
    """Says what became of each file, and counts.

    Attributes
    ----------
    verbose : bool
        Whether to say how each result was made, too.
    """

    verbose: bool = False
    done: int = 0
    skipped: int = 0
    failed: int = 0

    def __call__(self, job: Job, result: Picture | str | None) -> None:
        """Print what was written, an error's text, or that there was nothing to do."""
        if isinstance(result, str):
            self.fail(result)
        elif result is None:
            self.skipped += 1
            say(f"{plain(job.target)} exists, skipped")
        else:
            self.did(f"{plain(job.source)} -> {plain(job.target)}  {result.size[1]} x {result.size[0]}")
            self.made(job, result.provenance, result.notes)

    def fail(self, error: str) -> None:
        """Print an error's text."""
        self.failed += 1
        complain("error", error, "bold red")

    def did(self, line: str) -> None:
        """Print what was done; an empty line says nothing."""
        self.done += 1
        if line:
            say(line)

    def made(self, job: Job, record: dict[str, Any], notes: Sequence[str]) -> None:
        """Print how a result was made if that was asked for, and what of its image it doesn't hold."""
        if self.verbose and record:
            # What regions have to know of the whole are some hundred numbers for each plane.
            facts = {key: value for key, value in record.items() if not isinstance(value, dict)}
            say("  " + plain(", ".join(f"{key} {value}" for key, value in facts.items())))
        for note in notes:
            complain("note", f"{job.source}: {note}")

    @contextmanager
    def told(self, job: Job) -> Iterator[None]:
        """Print what went wrong with a job, and go on."""
        try:
            yield
        except EscError as error:
            self.fail(str(error) if str(job.source) in str(error) else f"{str(job.source)!r}: {error}")

    def finish(self) -> int:
        """Print the counts of several files, and return the exit code."""
        if self.done + self.skipped + self.failed > 1:
            say(f"{self.done} upscaled, {self.skipped} skipped, {self.failed} failed")
        return 1 if self.failed else 0
