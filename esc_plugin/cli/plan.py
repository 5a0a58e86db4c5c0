"""``esc-sr upscale --plan``: how images would be worked on, and about how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .terminal import plain, say, say_facts

if TYPE_CHECKING:
    from ..batch.batch import Batch
    from ..batch.jobs import Job
    from ..survey import Request
    from ..upscaler import Upscaler
    from .report import Report


def show_plans(batch: Batch, jobs: list[Job], report: Report) -> None:
    """Tell how each image would be worked on; one that can't be read doesn't stop the others."""
    from ..files import read_picture

    for job in jobs:
        with report.told(job):
            picture = read_picture(job.source, batch.max_pixels)
            request = batch.upscaler.request(picture.pixels, **batch.given(picture)[0])
            height, width = picture.size
            say(f"{plain(job.source)}  {width} x {height}")
            report.planned(job, show_plan(batch.upscaler, request))


def show_plan(upscaler: Upscaler, request: Request) -> dict[str, Any]:
    """Print how an image would be worked on, and about how long; return the same for programs."""
    from ..texts import mebibytes, seconds_text

    facts = plan_facts(upscaler, request)
    shown = {
        "model": facts["model"],
        "steps": facts["steps"],
        "precision": facts["precision"],
        "feature maps": ", ".join(f"{name} on {home}" for name, home in facts["feature_maps"].items()),
        "chunks of work": f"{facts['chunks']:,}, of up to {mebibytes(facts['chunk_bytes'])}",
        f"peak on {facts['device']}": mebibytes(facts["device_bytes"]),
        "peak in host memory": mebibytes(facts["host_bytes"]),
        "temporary files": mebibytes(facts["disk_bytes"]),
        "time": seconds_text(facts["seconds"]),
    }
    say_facts(shown, indent="  ")
    return facts


def plan_facts(upscaler: Upscaler, request: Request) -> dict[str, Any]:
    """Return how an image would be worked on, in bytes and seconds."""
    from ..device import precision_name
    from ..measure.duration import seconds_for

    size, bits = (request.layout.height, request.layout.width), request.bits
    need, plan = upscaler.need(*size, bits=bits), upscaler.plan(*size, bits=bits)
    return {
        "model": upscaler.model.name,
        "size": list(request.target),
        "steps": upscaler.steps(request)["steps"],
        "precision": precision_name(upscaler.dtype_for(bits)),
        "feature_maps": {name: str(home) for name, home in plan.storage.items()},
        "chunks": need.chunks(plan.chunk_bytes, plan.workers),
        "chunk_bytes": plan.chunk_bytes,
        "device": str(upscaler.device),
        "device_bytes": plan.device_bytes,
        "host_bytes": plan.host_bytes,
        "disk_bytes": plan.disk_bytes,
        "seconds": seconds_for(upscaler, size, request.target, bits, request.passes),
    }
