"""Peak memory of ``esc-sr upscale`` by the length of a film: ``python benchmarks/film.py [--frames 10 500]``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from timing import timed, watched_peak


def make(path: Path, frames: int, height: int, width: int) -> None:
    """A noisy picture that moves sideways, with sound."""
    rng = np.random.default_rng(0)
    scene = np.kron(rng.integers(0, 256, (height // 12 + 1, width // 6 + 1, 3)), np.ones((12, 12, 1), int))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="mono")
        for i in range(frames):
            left = i * (scene.shape[1] - width) // max(frames - 1, 1)
            noisy = scene[:height, left : left + width] * 0.8 + rng.normal(20, 3, (height, width, 3))
            frame = av.VideoFrame.from_ndarray(noisy.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
        wave = np.sin(np.arange(frames * 1920) / 20).astype(np.float32)[None]
        samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        samples.sample_rate = 48000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


def is_running(child: subprocess.Popen[bytes]) -> bool:
    return child.poll() is None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, nargs="*", default=[10, 500])
    parser.add_argument("--size", type=int, nargs=2, default=[180, 320], help="height and width")
    parser.add_argument("--shared", default="frame")
    given = parser.parse_args()
    print("| frames | shared | peak MiB | seconds |\n|---|---|---|---|")
    for frames in given.frames:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "film.mp4"
            make(source, frames, *given.size)
            command = [sys.executable, "-m", "esc_plugin.cli", "upscale", str(source), "--shared", given.shared]
            with subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL) as child:
                peak, seconds = timed(partial(watched_peak, child.pid, partial(is_running, child), 0.02))
            with av.open(str(source.with_name("film_x2.mp4"))) as result:
                made = sum(1 for _ in result.decode(video=0))
            assert (child.returncode, made) == (0, frames)
        print(f"| {frames} | {given.shared} | {peak / 2**20:.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
