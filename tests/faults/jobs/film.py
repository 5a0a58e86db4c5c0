"""A film is upscaled in segments, which the next run goes on behind."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from ..job import Job


def main() -> None:
    """Run the command line with segments of two frames."""
    from esc_plugin.cli import main
    from esc_plugin.video import encoding

    encoding.SEGMENT_PIXELS, encoding.SEGMENT_FRAMES = 1, (2, 240)
    main()


def job() -> Job:
    """Return the job."""
    arguments = ("upscale", "a.mkv", "-o", "a_x2.mkv", "--lossless", "--skip-existing", "--model", "esc-nano-x2")
    return Job(
        (*arguments, "--device", "cpu"),
        {"a.mkv": film()} if find_spec("av") else {},
        resumed=(".a_x2.mkv.parts",),
        same=same,
        packages=("av",),
        program="tests.faults.jobs.film:main",
    )


def same(made: Path, wanted: Path) -> bool:
    """Whether two films have the same packets of picture and sound; the file itself has a random number in it."""
    from tests.films import packets_in, times_in

    return all(packets_in(made, kind) == packets_in(wanted, kind) for kind in ("video", "audio")) and (
        times_in(made) == times_in(wanted)
    )


def film() -> bytes:
    """Return a film of eight small frames with sound."""
    from tests.films import make_film, picture

    with tempfile.TemporaryDirectory() as folder:
        path = make_film(Path(folder) / "a.mkv", [picture(i / 10, 48, 64) for i in range(8)], sound="aac")
        return path.read_bytes()
