"""Films: damaged, lying and unusual ones, from file to upscaled film; and what an unfinished one leaves beside it."""

from __future__ import annotations

import itertools
import math
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np

from esc_plugin.arrays.framing import Framing
from esc_plugin.cli.info import about
from esc_plugin.errors import EscError
from esc_plugin.video.film import open_film
from esc_plugin.video.parts import folder_of
from esc_plugin.video.upscaling import FilmUpscaling

from ...films import planes_of
from ...small import nearest_upscaler
from ..case import Case, check
from ..films import good, odd, rebuilt
from ..mutate import VALUES, damaged, json_bytes, twisted
from ..upscaling import MAX_PIXELS

NEAREST = nearest_upscaler()
#: A film is read again for what was written, but not for ever.
MOST_FRAMES = 500
#: Nobody's but the user's.
FOREIGN = "mine/b.txt"
TARGETS = ("out.mkv", "out.mkv", "out.mkv", "out.mp4", "out.mov", "out.webm")
SHARED = ("frame", "frame", "shot", "T")


def case(rng: Random) -> Case:
    """Return a film with something changed, or an unfinished result of one that isn't."""
    what = rng.choice(("bytes", "parts", "parts", "parts", "cut", "odd", "odd", "odd", "beside"))
    name, data = rng.choice(list(good().items()))
    if what == "odd":
        what, other, made = odd(rng)
        name, data = (other, made) if made else (name, rebuilt(rng, data))
    elif what == "parts":
        data = rebuilt(rng, data) if name.endswith(("mp4", "mov", "mkv", "webm")) else damaged(rng, data)
    elif what == "bytes":
        data = damaged(rng, data, tuple(good().values()))
    elif what == "cut":
        data = data[: rng.randrange(len(data))]
    target, shared = rng.choice(TARGETS), rng.choice(SHARED)
    files = {f"a{Path(name).suffix}": data}
    if what == "beside":
        (source,), target = files, "out.mkv"
        files |= {folder_of(Path(target)).name + f"/{name}": content for name, content in _beside(rng, source).items()}
    options = {"shared": shared, "lossless": target.endswith("mkv") and rng.random() < 0.8}
    kept = (folder_of(Path(target)).name,)
    source = next(iter(files))
    return Case(f"film, {what}, {source} -> {target}", files, lambda f: upscaled(f, source, target, options), kept=kept)


@cache
def _segment() -> bytes:
    return next(data for name, data in good().items() if name.endswith("mkv"))


def _beside(rng: Random, source: str) -> dict[str, bytes]:
    """Return what may lie in the folder of a result at work."""
    job = {"software": "0.1.0", "source": source, "window": [0, 0], "frame": [[32, 48], None], "encoding": {}}
    found = {"job.json": json_bytes(rng, twisted(rng, job, VALUES)), "lock": b""}
    if rng.random() < 0.3:
        found["job.json"] = rng.choice((b"", b"[" * 100_000, b"\xff", b"null", b'{"a": NaN}'))
    for name in rng.sample(("000000.mkv", "000001.mkv", ".esc-1.mkv", FOREIGN, "999999.mkv", "trial.mkv"), 2):
        found[name] = rng.choice((b"", _segment(), damaged(rng, _segment())))
    return found


def upscaled(folder: Path, name: str, target: str, options: dict[str, Any]) -> list[str]:
    """Upscale a film, and compare what was written with what is read."""
    source, result = folder / name, folder / target
    with suppress(EscError):
        about(str(source), None)
    film = open_film(str(source), MAX_PIXELS)
    frame = Framing().frame(*film.size, NEAREST.model.scale)
    work = FilmUpscaling(NEAREST, film, result, frame, overwrite=True, **options)
    record = work()
    check(record["frames"] > 0, "a film without frames")
    before, after = (_frames(path) for path in (source, result))
    check(len(after) == min(record["frames"], MOST_FRAMES), f"{len(after)} frames, not {record['frames']}")
    check(len(before) == len(after), f"{len(before)} frames became {len(after)}")
    check({(one.height, one.width) for one in after} == {work.written}, f"frames that aren't {work.written}")
    times = [one.pts * one.time_base for one in after if one.pts is not None]
    check(all(a <= b for a, b in itertools.pairwise(times)), "frames that are seen before those ahead of them")
    if options["lossless"] and film.turns == 0:
        _compare(before[0], after[0], work)
    left = {path.name for path in folder_of(result).glob("*")}
    check(left <= {FOREIGN.partition("/")[0]}, f"what the work needed is still there: {left}")
    return [target]


def _frames(path: Path) -> list[Any]:
    """Decode a film on one core; what can't be decoded is left out."""
    found: list[Any] = []
    with av.open(str(path), metadata_errors="replace") as container:
        stream = next(stream for stream in container.streams.video if not _is_cover(stream))
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            with suppress(av.FFmpegError):
                found += packet.decode()
            if len(found) > MOST_FRAMES:
                break
    return found[:MOST_FRAMES]


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _compare(before: Any, after: Any, work: FilmUpscaling) -> None:
    """Check that the brightness of a frame is what it was, where numbers stay in their range on the way through RGB."""
    if before.format.name != after.format.name or work.written != work.frame.size:
        return
    old, new = planes_of(before), planes_of(after)
    unit = 2 ** (work.film.bits - 8)
    low, high = math.floor(60 * unit), math.ceil(190 * unit)
    colours = np.concatenate([plane.ravel() for plane in old[1:]]) if old[1:] else np.array([128 * unit])
    calm = (old[0] >= low) & (old[0] <= high)
    if np.abs(colours - 128 * unit).max() < 40 * unit and calm.any():
        repeated = new[0][::2, ::2], new[0][1::2, 1::2]
        check(all(np.abs(one - old[0])[calm].max() <= 2 * unit for one in repeated), "another brightness")
