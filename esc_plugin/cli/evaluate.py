"""The command ``esc-sr evaluate``: models against bicubic interpolation, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EscError, needs
from ..texts import check_path
from . import options as opt
from . import values
from .load import open_model
from .terminal import complain, progress_bar, say_table, write_json

if TYPE_CHECKING:
    from ..measure.evaluate import Distance, Score

#: Stands for every model that comes with this package.
BUNDLED = "bundled"


@dataclass(frozen=True)
class Run:
    """What was measured of a model with a degradation, image by image."""

    model: str
    degradation: str
    scores: list[Score]


def evaluate(
    named: Annotated[
        list[str],
        typer.Argument(metavar="MODEL... FOLDER", help=f"Models, or the word {BUNDLED}, and a folder of true images."),
    ],
    low: Annotated[
        Path | None, typer.Option(callback=values.usable, help="Folder of their reductions; by default MATLAB's bicubic.")
    ] = None,
    degrade: Annotated[
        list[Any] | None,
        typer.Option(
            parser=values.degradation,
            metavar="STEPS",
            help="How the reductions are made, such as jpeg=40, noise=15, bin=2,photons=200 or bicubic; repeatable.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", callback=values.usable, help="Write the figures as .csv or .json.")
    ] = None,
    as_json: opt.AsJson = False,
    window_size: opt.WindowSize = None,
    device: opt.Device = "auto",
    precision: opt.Precision = "auto",
    threads: opt.Threads = 0,
    overwrite: opt.Overwrite = False,
) -> None:
    """Measure models: PSNR and SSIM, next to bicubic, on clean or degraded reductions."""
    needs("evaluate")
    from ..catalog.lookup import look_up
    from ..measure.degradation import CLEAN, check_degradations
    from ..measure.scores import SUFFIXES, rows_of, write_rows

    models, folder = _models_and_folder(named)
    if low and degrade:
        raise EscError("--low has reductions that are there already, which --degrade would make; leave one of them out.")
    for place in (folder, low):
        if place:
            values.check_images(place)
    if output:
        values.check_output(output, SUFFIXES, *models, overwrite=overwrite)
    degradations = list(dict.fromkeys(degrade or [CLEAN]))
    check_degradations(folder, degradations, {model: look_up(model).scale for model in models})
    from ..measure import evaluate as figures
    from ..progress import part_of
    from ..upscaler import Upscaler

    distance = _distance()
    upscalers = [
        Upscaler(open_model(model, window_size=window_size), device=device, precision=precision, threads=threads)
        for model in models
    ]
    tasks, runs = list(product(upscalers, degradations)), list[Run]()
    for upscaler, degradation in tasks:  # now that the scales of files are known too
        degradation.check_scale(upscaler.model.scale, upscaler.model.name)
    with progress_bar(folder.name) as progress:
        for upscaler, degradation in tasks:
            told = part_of(progress, len(runs), len(tasks))
            scores = figures.evaluate(upscaler, folder, low, told, distance, degradation)
            runs.append(Run(upscaler.model.name, "" if low else str(degradation), scores))
    rows = [{"model": run.model, "degradation": run.degradation, **row} for run in runs for row in rows_of(run.scores)]
    if as_json:
        write_json(rows)
    else:
        say_table(*(_by_image(runs[0].scores) if len(runs) == 1 else _by_run(runs)))
    if output:
        write_rows(output, rows)


def _models_and_folder(named: Sequence[str]) -> tuple[list[str], Path]:
    from ..catalog.menu import bundled_models

    *models, folder = named
    if not models:
        raise EscError(f"name a model and a folder of true images; there is only {folder!r}.")
    check_path(Path(folder))
    bundled = [entry.name for entry in bundled_models()] if BUNDLED in models else []
    meant = [name for model in models for name in (bundled if model == BUNDLED else [model])]
    return list(dict.fromkeys(meant)), Path(folder)


def _distance() -> Distance | None:
    from ..measure.evaluate import load_lpips

    try:
        return load_lpips()
    except EscError as error:
        complain("note", error)
        return None


def _by_image(scores: list[Score]) -> list[tuple[str, ...]]:
    """Return a heading, a row for each image and one for the mean."""
    from ..measure.scores import mean

    known = any(score.lpips is not None for score in scores)
    heading = "image", "PSNR Y", "SSIM Y", "PSNR RGB", "SSIM RGB", "bicubic PSNR Y", "SSIM Y", "bias %"
    table: list[tuple[str, ...]] = [(*heading, *(("LPIPS", "bicubic LPIPS") if known else ()))]
    for s in [*scores, mean(scores)]:
        values = (s.psnr_y, s.ssim_y, s.psnr_rgb, s.ssim_rgb, s.bicubic_psnr_y, s.bicubic_ssim_y)
        row = [f"{v:.2f}" if i % 2 == 0 else f"{v:.4f}" for i, v in enumerate(values)]
        distances = (s.lpips, s.bicubic_lpips) if known else ()
        table.append((s.image, *row, f"{100 * s.bias:+.3f}", *("-" if d is None else f"{d:.4f}" for d in distances)))
    return table


def _by_run(runs: list[Run]) -> list[tuple[str, ...]]:
    """Return a heading, and a row for each model and degradation: means, and the bias of the image that has most."""
    from ..measure.scores import mean

    table: list[tuple[str, ...]] = [("model", "degradation", "images", "PSNR Y", "bicubic", "gain", "bias %")]
    for run in runs:
        s, most = mean(run.scores), max((score.bias for score in run.scores), key=abs)
        figures = f"{s.psnr_y:.2f}", f"{s.bicubic_psnr_y:.2f}", f"{s.gain:+.2f}", f"{100 * most:+.3f}"
        table.append((run.model, run.degradation, f"{len(run.scores):,}", *figures))
    return table
