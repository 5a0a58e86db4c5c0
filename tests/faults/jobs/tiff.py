"""A stack of 16-bit pages is upscaled in so little memory that feature maps go to a temporary file."""

from __future__ import annotations

import numpy as np

from ..job import Job
from .batch import noise, tiff


def main() -> None:
    """Run the command line as if torch took no memory beside tensors, which a small image could not make itself felt in."""
    from esc_plugin.cli import main
    from esc_plugin.engine import plan

    plan.RESERVE_BYTES = 0
    main()


def job() -> Job:
    """Return the job."""
    arguments = ("upscale", "a.tif", "-o", "a_x2.tif", "--overwrite", "--model", "esc-nano-x2", "--device", "cpu")
    pages = tiff(noise((2, 160, 128), 0, np.uint16), photometric="minisblack", metadata={"axes": "ZYX"})
    return Job((*arguments, "--memory", "8MB"), {"a.tif": pages}, program="tests.faults.jobs.tiff:main")
