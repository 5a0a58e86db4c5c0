"""BMP, GIF and the PPM family, which are only read."""

from __future__ import annotations

import io
from functools import cache
from random import Random

import numpy as np
from PIL import Image

from ..case import Case
from ..mutate import damaged, retyped
from ..pictures import animated, pixels, saved
from ..upscaling import image_case, pick_target


@cache
def good() -> tuple[tuple[str, bytes], ...]:
    """Return files by suffix."""
    floating = io.BytesIO()
    Image.fromarray(np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)).save(floating, "PPM")
    small = io.BytesIO()
    Image.fromarray(pixels(9, 8, 3)).quantize(7).save(small, "BMP")
    return (
        *((".bmp", saved("BMP", *shape)) for shape in ((9, 8, 3), (9, 8), (9, 8, 4))),
        (".bmp", small.getvalue()),
        (".gif", saved("GIF", 9, 8)),
        (".gif", animated("GIF")),
        *((".ppm", saved("PPM", *shape)) for shape in ((9, 8, 3), (9, 8))),
        (".pbm", b"P1\n# words\n3 2\n1 0 1\n0 1 0\n"),
        (".pgm", b"P2 3 2 15 0 1 2 3 4 15"),
        (".ppm", b"P3 1 2 65535 0 1 2 3 4 65535"),
        (".pgm", b"P5 4 2 65535\n" + bytes(range(16))),
        (".pfm", floating.getvalue()),
    )


def case(rng: Random) -> Case:
    """Return a file with something changed."""
    suffix, data = rng.choice(good())
    what = rng.choice(("bytes", "bytes", "head"))
    if what == "head":
        head = rng.choice((16, 40, 60))
        data = (
            retyped(rng, data[:head].decode("latin-1")).encode("utf-8") if data[:1] == b"P" else damaged(rng, data[:head])
        ) + data[head:]
    else:
        data = damaged(rng, data, tuple(content for _, content in good()))
    return image_case(f"{suffix}, {what}", f"a{suffix}", data, pick_target(rng, ".png"))
