"""A picture is upscaled into a store by two processes of dask."""

from __future__ import annotations

from ..job import Job
from . import zarr


def job() -> Job:
    """Return the job."""
    return zarr.job("--workers", "2", packages=("zarr", "distributed"))
