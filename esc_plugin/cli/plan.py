"""``esc-sr upscale --plan``: how images would be worked on, and about how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from .terminal import console, plain, say

if TYPE_CHECKING:
    from ..batch.batch import Batch
    from ..batch.jobs import Job
    from ..survey import Request
    from ..upscaler import Upscaler


def show_plans(batch: Batch, jobs: list[Job]) -> None:
    """Print how each image would be worked on."""
    from ..files import read_picture

    for job in jobs:
        picture = read_picture(job.source, batch.max_pixels)
        request = batch.upscaler.request(picture.pixels, **batch.given(picture)[0])
        height, width = picture.size
        say(f"{plain(job.source)}  {width} x {height}")
        show_plan(batch.upscaler, request)


def show_plan(upscaler: Upscaler, request: Request) -> None:
    """Print how an image would be worked on, and about how long."""
    from ..device import precision_name
    from ..measure.duration import seconds_for
    from ..texts import mebibytes, seconds_text

    size, bits = (request.layout.height, request.layout.width), request.bits
    need, plan = upscaler.need(*size, bits=bits), upscaler.plan(*size, bits=bits)
    table = Table(box=None, show_header=False)
    table.add_row("steps", upscaler.steps(request)["steps"])
    table.add_row("precision", precision_name(upscaler.dtype_for(bits)))
    table.add_row("feature maps", ", ".join(f"{name} on {home}" for name, home in plan.storage.items()))
    table.add_row(
        "chunks of work", f"{need.chunks(plan.chunk_bytes, plan.workers):,}, of up to {mebibytes(plan.chunk_bytes)}"
    )
    table.add_row(f"peak on {upscaler.device}", mebibytes(plan.device_bytes))
    table.add_row("peak in host memory", mebibytes(plan.host_bytes))
    table.add_row("temporary files", mebibytes(plan.disk_bytes))
    table.add_row("time", seconds_text(seconds_for(upscaler, size, request.target, bits, request.passes)))
    console.print(table)
