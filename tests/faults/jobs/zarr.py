"""A picture is upscaled into a store of many blocks, which the next run goes on with."""

from __future__ import annotations

from ..job import Job
from .upscale import picture

TARGET = "a.ome.zarr"


def main() -> None:
    """Run the command line with blocks so small that a picture of some hundred pixels has several."""
    from esc_plugin.cli import main
    from esc_plugin.files import zarr_store

    zarr_store.SHARDS["0.5"] = 64
    zarr_store.ShardedImage.create.__func__.__kwdefaults__["chunk"] = 32  # type: ignore[attr-defined]
    main()


def job(*more: str, packages: tuple[str, ...] = ("zarr",)) -> Job:
    """Return the job."""
    # Alone, --skip-existing leaves a store out that is whole, and goes on with one that isn't.
    arguments = ("upscale", "a.png", "-o", TARGET, "--skip-existing", "--model", "esc-nano-x2", "--device", "cpu", *more)
    return Job(
        arguments,
        {"a.png": picture(96, 120)},
        resumed=(TARGET,),
        packages=packages,
        program="tests.faults.jobs.zarr:main",
    )
