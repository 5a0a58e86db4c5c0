"""What the command line is asked to do: a module each with ``job() -> Job``, listed here."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from ..job import Job

JOBS = (
    "upscale",
    "batch",
    "tiff",
    "zarr",
    "film",
    "download",
    "hub",
    "train",
    "workers",
    "finetune",
    "survey",
    "compare",
    "evaluate",
    "inspect",
    "convert",
    "export",
    "publish",
    "stack",
    "remote",
)


@cache
def job_of(name: str) -> Job:
    """Make a job."""
    made: Job = import_module(f".{name}", __name__).job()
    return made


def available() -> list[str]:
    """Return the jobs whose packages are installed."""
    return [name for name in JOBS if all(map(find_spec, job_of(name).packages))]
