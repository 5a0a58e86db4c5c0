"""``esc-sr upscale`` with films."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EscError, ImageError, needs
from ..texts import check_path, counted
from .load import Where, load_mixture
from .pipes import DASH
from .report import Report
from .terminal import complain, plain, progress_bar, say

if TYPE_CHECKING:
    import typer

    from ..arrays.framing import Framing
    from ..batch.jobs import Job
    from ..upscaler import Upscaler
    from ..video.upscaling import FilmUpscaling

#: Options of `esc-sr upscale` that are for films too; any other that is given is refused.
OPTIONS = (
    *("images", "output", "model", "purpose", "blend", "blend_share", "window_size", "form", "quality", "lossless"),
    *("overwrite", "skip_existing", "include_results", "shared", "megapixels", "device", "gpu", "cpu", "precision"),
    *("memory", "threads", "plan", "verbose", "quiet", "as_json"),
)
#: Those that say how large the result shall be.
SIZES = ("scale", "width", "height", "fit", "fill", "stretch", "longest", "shortest", "result_megapixels")
#: Those of `Upscaler.__call__`.
PASSED_ON = ("linear_light", "consistency", "passes", "strength")


def upscale_films(given: Any, framing: Framing) -> int:
    """Upscale films, as `upscale_pictures` does pictures."""
    from ..batch.refused import refusals
    from ..catalog.by_default import default_model
    from ..catalog.lookup import look_up
    from ..catalog.traits import PHOTO
    from ..video.names import is_film
    from ..video.upscaling import clear_finished

    check_options(given.context)
    if others := [name for name in given.images if not is_film(name)]:
        raise EscError(f"{others[0]!r} is no film; name films and images in two calls.")
    if given.output == DASH:
        raise EscError("a film can't go to standard output, since it is written in parts; name a file with -o.")
    needs("video")
    sources = [Path(name) for name in dict.fromkeys(given.images)]
    source, reason = given.model, ""
    if source is None:
        entry, reason, _ = default_model(PHOTO, growth_of(sources, framing, given), given.purpose or "")
        source = entry.name
    known, second = look_up(source), look_up(given.blend) if given.blend else None
    report = Report(given.verbose, given.as_json)
    # The name of two models is known once they are loaded.
    plan_films(sources, given, framing, (second is None and known.name) or "model", known.scale or 1)
    where = Where(given.device, given.precision, given.memory, given.threads)
    upscaler = load_mixture(source, given.blend, given.blend_share, given.window_size, where, reason)
    jobs = plan_films(sources, given, framing, upscaler.model.name, upscaler.model.scale)
    refused = {} if given.plan else refusals(jobs, given.overwrite)
    for job in jobs:
        with report.told(job):
            there = Path(job.target).exists()
            if there and not (given.plan or given.overwrite):
                clear_finished(Path(job.target))
            if there and given.skip_existing:
                report(job, None)
                continue
            if job in refused:
                raise ImageError(refused[job])
            upscale_film(job, upscaler, framing, given, report)
    return report.finish()


def growth_of(sources: list[Path], framing: Framing, given: Any) -> float | None:
    """Return by how much the film grows that grows most; None if no size is asked for."""
    from ..batch.choice import growth
    from ..video.film import open_film

    sizes = []
    for source in sources:
        with suppress(EscError):  # which is told when it is the film's turn
            sizes.append(open_film(str(source), round(given.megapixels * 1e6)).size)
    return max((factor for size in sizes if (factor := growth(framing, size)) is not None), default=None)


def check_options(context: typer.Context) -> None:
    """Raise an `EscError` for an option that isn't for films."""
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in {*OPTIONS, *SIZES, *PASSED_ON} and context.params.get(name) != parameter.get_default(context):
            raise EscError(f"{max(parameter.opts, key=len)} isn't for films; leave it out.")


def plan_films(sources: list[Path], given: Any, framing: Framing, model: str, scale: int) -> list[Job]:
    """Say where the result of each film goes.

    Raises
    ------
    ImageError
        If no film can be written there.
    """
    from ..batch.jobs import Job, filled, pattern_for
    from ..video.names import container_of, suffix_for

    label = framing.label(scale)
    pattern, folder = pattern_for(given.output, label)
    jobs = []
    for path in sources:
        check_path(path)
        suffix = suffix_for(path, given.form)
        if given.lossless and given.form is None:
            suffix = ".mkv"
        target = Path(filled(pattern, path, path.stem, suffix, model, label))
        container_of(target)
        if given.form and target.suffix.lower() != suffix:
            raise ImageError(f"{target.name!r} is no {given.form!r}, which was asked for; leave one of them out.")
        jobs.append(Job(path, folder / target if folder else target))
    return jobs


def upscale_film(job: Job, upscaler: Upscaler, framing: Framing, given: Any, report: Report) -> None:
    """Upscale a film, or say how it would be worked on; what goes wrong is an `EscError`."""
    from ..batch.checks import check_place
    from ..video.film import open_film
    from ..video.upscaling import USUAL_SHARED, FilmUpscaling, record_in

    source, target = Path(job.source), Path(job.target)
    if not source.is_file():
        raise ImageError(f"there is no file {str(source)!r}.")
    film = open_film(str(source), round(given.megapixels * 1e6))
    original = record_in(film).get("image")
    if original in named_beside(given, source) and not given.include_results:
        complain("note", f"{source.name!r} is a result, of {original!r}, and left out; --include-results takes it.")
        return
    frame = framing.frame(*film.size, upscaler.model.scale)
    options = {name: getattr(given, name) for name in PASSED_ON}
    shared = given.shared or USUAL_SHARED
    how = {name: getattr(given, name) for name in ("quality", "lossless", "overwrite")}
    how["tell"] = lambda note: complain("note", f"{source}: {note}")
    work = FilmUpscaling(upscaler, film, target, frame, options, shared, **how)
    check_place(target)
    if given.plan:
        report.planned(job, show_film_plan(work, source))
        return
    record = run(work, source)
    height, width = work.written
    line = f"{plain(source)} -> {plain(target)}  {width} x {height}, {counted(record['frames'], 'frame')}"
    notes = film.notes
    if work.written != frame.size:
        cut = f"the last row or column is cut off: {width} x {height}, since two share a sample of colour."
        notes = (*notes, cut)
    report.did(job, line, record, notes)


def named_beside(given: Any, source: Path) -> set[Any]:
    """Return the names of the other films of a command, such as a shell's pattern has found."""
    return {Path(name).name for name in given.images} - {source.name}


def run(work: FilmUpscaling, source: Path) -> dict[str, Any]:
    """Upscale a film and show how far it is, and say what is kept if it is stopped."""
    from ..video.parts import folder_of
    from ..video.upscaling import STEPS

    folder = folder_of(work.target)
    try:
        with progress_bar(source.name, lambda done, total: f"frame {done // STEPS:,} of {total // STEPS:,}") as progress:
            return work(progress)
    except KeyboardInterrupt:
        if folder.exists():
            complain("note", f"{str(folder)!r} keeps what is done; the same command goes on from there.")
        raise


def show_film_plan(work: FilmUpscaling, source: Path) -> dict[str, Any]:
    """Print how each frame of a film would be worked on; return the same for programs."""
    from .plan import show_plan

    height, width = work.film.size
    say(f"{plain(source)}  each frame of {width} x {height}:")
    return show_plan(work.upscaler, work.enlarge.request)
