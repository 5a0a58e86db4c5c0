"""What is said of many image files: before, meanwhile, and after. Names come from files, so they are escaped."""

from __future__ import annotations

from esc_plugin.session.folder import FolderWork
from esc_plugin.texts import counted, printable

from .texts import html_of

#: Of so many files it is said why they failed; all would push the buttons out of a small window.
MOST_REASONS = 4


def found_text(work: FolderWork) -> str:
    """Return what there is to do, and what won't be done."""
    summary = work.summary
    found = len(work.ready) + len(summary.skipped) + len(summary.failed)
    lines = [f"{counted(found, 'image')} found, {len(work.ready):,} to upscale."]
    if summary.skipped:
        lines.append(f"Skipped, because their results are there: {len(summary.skipped):,}.")
    if work.results:
        lines.append(f"Left out, because they are results themselves: {len(work.results):,}.")
    return "<br>".join([*lines, *_reasons(work)])


def running_text(work: FolderWork) -> str:
    """Return how far it is; plain text."""
    now = min(work.worked, len(work.ready) - 1)
    return f"{now + 1:,} of {len(work.ready):,}: {printable(work.ready[now].source.name)}" if work.ready else "..."


def ended_text(how: str, work: FolderWork) -> str:
    """Return what became of all."""
    summary = work.summary
    counts = f"{len(summary.done):,} upscaled, {len(summary.skipped):,} skipped, {len(summary.failed):,} failed"
    return "<br>".join([f"{how}: {counts}.", *_reasons(work)])


def _reasons(work: FolderWork) -> list[str]:
    failed = work.summary.failed
    more = len(failed) - MOST_REASONS
    lines = [html_of(reason) for _, reason in failed[:MOST_REASONS]]
    return [*lines, f"and {more:,} more."] if more > 0 else lines
