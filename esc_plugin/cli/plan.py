"""``esc-sr upscale --plan``: how images would be worked on, and about how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from .terminal import console, plain, say

if TYPE_CHECKING:
    from ..batch.batch import Batch
    from ..batch.jobs import Job
    from ..upscaler import Upscaler


def show_plans(batch: Batch, jobs: list[Job]) -> None:
    """Print how each image would be worked on."""
    from ..files import read_picture
    from ..upscaler import bits_of

    for job in jobs:
        picture = read_picture(job.source, batch.max_pixels)
        height, width = picture.size
        say(f"{plain(job.source)}  {width} x {height}")
        show_plan(batch.upscaler, height, width, bits_of(picture.pixels))


def show_plan(upscaler: Upscaler, height: int, width: int, bits: int) -> None:
    """Print how an image would be worked on, and about how long.

    Parameters
    ----------
    height, width : int
        Of the image in pixels.
    bits : int
        Of a value of the image, which decide the precision.
    """
    from ..device import precision_name
    from ..measure.duration import seconds_for
    from ..texts import mebibytes, seconds_text

    need = upscaler.need(height, width, bits=bits)
    plan = upscaler.plan(height, width, bits=bits)
    table = Table(box=None, show_header=False)
    table.add_row("precision", precision_name(upscaler.dtype_for(bits)))
    table.add_row("feature maps", ", ".join(f"{name} on {home}" for name, home in plan.storage.items()))
    table.add_row("chunks of work", f"{need.chunks(plan.chunk_bytes):,}, of up to {mebibytes(plan.chunk_bytes)}")
    table.add_row(f"peak on {upscaler.device}", mebibytes(plan.device_bytes))
    table.add_row("peak in host memory", mebibytes(plan.host_bytes))
    table.add_row("temporary files", mebibytes(plan.disk_bytes))
    table.add_row("time", seconds_text(seconds_for(upscaler, (height, width), need.geometry.output, bits)))
    console.print(table)
