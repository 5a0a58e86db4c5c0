"""What a user, or a program, is told about each file of ``esc-sr upscale``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import EscError
from .terminal import complain, plain, say, shown_name, write_json

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
    as_json : bool
        Whether to write a line of JSON for each file: its ``"status"`` (done, skipped, failed, planned), ``"image"`` and
        ``"result"``, and ``"error"``, or ``"notes"`` and ``"record"``, which is what the result says of itself, see
        `esc_plugin.provenance`.
    """

    verbose: bool = False
    as_json: bool = False
    done: int = 0
    skipped: int = 0
    failed: int = 0

    def __call__(self, job: Job, result: Picture | str | None) -> None:
        """Tell what was written, an error's text, or that there was nothing to do."""
        if isinstance(result, str):
            self.fail(job, result)
        elif result is None:
            self.skipped += 1
            say(f"{plain(job.target)} exists, skipped")
            self._write(job, "skipped")
        else:
            line = f"{plain(job.source)} -> {plain(job.target)}  {result.size[1]} x {result.size[0]}"
            self.did(job, line, result.provenance, result.notes)

    def fail(self, job: Job, error: str) -> None:
        """Tell an error's text."""
        self.failed += 1
        complain("error", error, "bold red")
        self._write(job, "failed", error=shown_name(error))

    def did(self, job: Job, line: str, record: dict[str, Any], notes: Sequence[str]) -> None:
        """Tell what was done, how if that was asked for, and what of its image a result doesn't hold."""
        self.done += 1
        say(line)
        if self.verbose and record:
            # What regions have to know of the whole are some hundred numbers for each plane.
            facts = {key: value for key, value in record.items() if not isinstance(value, dict)}
            say("  " + plain(", ".join(f"{key} {value}" for key, value in facts.items())))
        for note in notes:
            complain("note", f"{job.source}: {note}")
        self._write(job, "done", notes=list(notes), record=record)

    def planned(self, job: Job, facts: dict[str, Any]) -> None:
        """Tell how a file would be worked on; people have read it elsewhere."""
        self._write(job, "planned", plan=facts)

    @contextmanager
    def told(self, job: Job) -> Iterator[None]:
        """Tell what went wrong with a job, and go on."""
        try:
            yield
        except EscError as error:
            self.fail(job, str(error) if str(job.source) in str(error) else f"{str(job.source)!r}: {error}")

    def finish(self) -> int:
        """Print the counts of several files, and return the exit code."""
        if self.done + self.skipped + self.failed > 1:
            say(f"{self.done} upscaled, {self.skipped} skipped, {self.failed} failed")
        return 1 if self.failed else 0

    def _write(self, job: Job, status: str, **facts: Any) -> None:
        if self.as_json:
            names = {"image": shown_name(job.source), "result": shown_name(job.target)}
            write_json({"status": status} | names | facts)
