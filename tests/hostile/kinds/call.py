"""Calls from Python with anything as an option, and images that hold anything."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from esc_plugin import Upscaler
from esc_plugin.arrays.layout import DTYPES

from ...small import random_upscaler
from ..case import Case, check
from ..mutate import VALUES

UPSCALER = random_upscaler()
NONSENSE: tuple[Any, ...] = (
    *VALUES,
    *(
        10**5000,
        -(10**5000),
        1j,
        b"x",
        "x" * 5000,
        object(),
        np.zeros(3),
        np.float32(2),
        np.int64(3),
        np.array([[1.0, 2.0]]),
        range(3),
    ),
    *(
        (0, 1),
        (1, 0),
        (0.5,),
        ((0, 4), (0, 4)),
        ((-1, 99), (0, 1)),
        ((0, 4), (0, 10**30)),
        (float("nan"), 1.0),
        ((0.0, 1.0),) * 3,
    ),
    *(
        "auto",
        "range",
        "minmax",
        "percentile",
        "percentile:5,1",
        "percentile:nan,inf",
        "keep",
        "lanczos",
        "YX",
        "YXS",
        "SYX",
        "ZYX",
        "YY",
        "T",
    ),
)
#: What options are meant to be, for the half of the cases that reach the work.
SENSE: dict[str, tuple[Any, ...]] = {
    "scale": (0.5, 1, 1.5, 2, 3.7),
    "size": ((5, 6), (20, 21)),
    "intensity": ("auto", "range", "minmax", "percentile", (0.0, 1.0), (3, 150), (-1e30, 1e30), (0, 1e-300)),
    "nan": ("error", "keep"),
    "alpha": ("network", "lanczos"),
    "linear_light": (True, False),
    "consistency": (True, False),
    "bits": (1, 8, 12, 16, 64),
    "shared": ("T", "Z", "C", ""),
    "region": (((0, 4), (0, 4)), ((1, 2), (0, 3))),
    "passes": (0, 1, 2, 3),
    "strength": (0, 0.0, 0.3, 1, 1e-9),
    "mask": (np.ones((3, 3), bool), np.zeros((8, 9)), np.eye(4, dtype=np.uint16)),
    "axes": ("YX", "YXS", "ZYX", "CYX", "TZYX"),
}
OPTIONS = (
    *(
        "axes",
        "scale",
        "size",
        "intensity",
        "nan",
        "alpha",
        "linear_light",
        "consistency",
        "bits",
        "shared",
        "region",
        "survey",
        "out",
    ),
    *("passes", "strength", "mask"),
)


def case(rng: Random) -> Case:
    """Return a call of `Upscaler` with nonsense in one place or several."""
    names = rng.sample(OPTIONS, rng.choice((0, 1, 1, 1, 2, 3)))
    sensible = rng.random() < 0.5
    options = {name: rng.choice(SENSE[name] if sensible and name in SENSE else NONSENSE) for name in names}
    image = picture(rng)
    what = ", ".join(f"{name}={_shown(value)}" for name, value in options.items())
    return Case(f"{_shown(image)}: {what}", {}, lambda folder: attempted(folder, image, options))


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}"
    return "..." if isinstance(value, int) and abs(value) > 10**30 else repr(value)[:40]


def picture(rng: Random) -> Any:
    """Return an image, or something that is none."""
    shape = rng.choice(
        ((8, 9), (8, 9, 3), (2, 8, 9), (7, 6, 4), (1, 1), (8, 9, 2), (2, 2, 5, 6), (0, 5), (5, 0, 3), (3,), (), (1, 9, 1))
    )
    image = np.random.default_rng(0).integers(0, 2 if rng.random() < 0.2 else 200, shape)
    dtype = rng.choice((*DTYPES, *DTYPES, "int64", "complex64", "O", "U3", "M8[s]", "V4", ">u2", ">f4"))
    made = image.astype("S3").astype("V4") if dtype == "V4" else image.astype(dtype)
    if made.dtype.kind == "f" and made.size and rng.random() < 0.4:
        made.reshape(-1)[0] = rng.choice((np.nan, np.inf, -np.inf, 1e30 if made.dtype.itemsize > 2 else 6e4, 1e-30))
    return rng.choice((made, made, made, made, made, np.flip(made), made.T, made.tolist(), None, "x", 3, UPSCALER))


def attempted(_: Path, image: Any, options: dict[str, Any]) -> list[str]:
    """Upscale: what comes is of the image's type, with as many axes, and finite where the image is."""
    made = UPSCALER(image, **options)
    check(isinstance(made, np.ndarray) or made is options.get("out"), f"a result of {type(made).__name__}")
    check(made.ndim == np.ndim(image) and made.dtype.name == np.asarray(image).dtype.name, f"a result {_shown(made)}")
    if made.dtype.kind == "f" and np.isfinite(np.asarray(image)).all():
        check(np.isfinite(made).all(), "a result that is no number, of an image that is")
    again = Upscaler(UPSCALER.model, device="cpu", memory_limit=2**28)(image, **options)
    check(np.array_equal(made, again, equal_nan=made.dtype.kind == "f"), "another result under another limit of memory")
    return []
