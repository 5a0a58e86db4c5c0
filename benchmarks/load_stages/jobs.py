"""Jobs of all kinds, small, each of another size: what a process that runs for days is asked for."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image

from esc_plugin import Cancelled, EscError, Mixture, Upscaler, load_model, upscale
from esc_plugin.arrays.framing import Framing
from esc_plugin.batch.batch import Batch
from esc_plugin.batch.jobs import Job
from esc_plugin.catalog.menu import list_models
from esc_plugin.cli import main as esc_sr
from esc_plugin.cluster.fill import upscale_large
from esc_plugin.cluster.large import Large
from esc_plugin.files import read_picture
from esc_plugin.measure.compare import compare
from esc_plugin.measure.degradation import Degradation
from esc_plugin.measure.evaluate import evaluate
from esc_plugin.survey import Survey
from esc_plugin.volume import upscale_volume

BUNDLED = [entry.name for entry in list_models() if entry.bundled]
DTYPES = (np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64, np.float16, np.bool_)
KINDS = ("YX", "YXS", "TYX", "CYX", "ZCYX", "TYXS")


@dataclass
class Desk:
    """What jobs share: chance, a folder that is emptied after each, and an upscaler that stays."""

    random: Random
    folder: Path
    upscaler: Upscaler = field(default_factory=lambda: Upscaler("esc-nano-x2"))

    def image(self, axes: str = "", dtype: Any = None, most: int = 64) -> np.ndarray:
        """Return noise of some shape and type."""
        axes = axes or self.random.choice(KINDS)
        dtype = np.dtype(dtype or self.random.choice(DTYPES))
        sizes = {"Y": self.side(most), "X": self.side(most), "S": self.random.choice((2, 3, 4))}
        shape = [sizes.get(axis, self.random.randint(1, 3)) for axis in axes]
        values = np.random.default_rng(self.random.getrandbits(32)).random(shape)
        return (values * (np.iinfo(dtype).max if dtype.kind in "iu" else 1 + (dtype.kind == "b"))).astype(dtype)

    def side(self, most: int) -> int:
        return self.random.randint(5, most)

    def options(self) -> dict[str, Any]:
        """Return some options of a call."""
        every = {
            "scale": self.random.choice((1, 1.5, 2, 3)),
            "intensity": self.random.choice(("auto", "minmax", "percentile")),
            "linear_light": True,
            "strength": self.random.random(),
            "passes": 1,
        }
        return {name: every[name] for name in self.random.sample(sorted(every), 2)}


def array(desk: Desk) -> None:
    axes = desk.random.choice(KINDS)
    desk.upscaler(desk.image(axes), axes=axes, **desk.options())


def means_and_mask(desk: Desk) -> None:
    desk.upscaler(image := desk.image("YX", np.uint16), axes="YX", scale=2, consistency=True)
    desk.upscaler(image, axes="YX", mask=np.linspace(0, 1, image.size, dtype=np.float32).reshape(image.shape))


def alpha_and_nan(desk: Desk) -> None:
    image = desk.image("YX", np.float32)
    image[0, 0] = np.nan
    desk.upscaler(image, axes="YX", nan="keep")
    picture = np.random.default_rng(desk.random.getrandbits(32)).integers(
        0, 256, (desk.side(64), desk.side(64), 4), np.uint8
    )
    desk.upscaler(picture, alpha=desk.random.choice(("network", "lanczos")))


def maps_in_files(desk: Desk) -> None:
    """Feature maps don't fit into so little memory."""
    little = desk.upscaler.with_memory_limit(210 * 2**20)
    side = desk.random.randint(620, 660)
    little(np.random.default_rng(0).integers(0, 256, (side, side), np.uint8))


def region(desk: Desk) -> None:
    image = desk.image("YXS", np.uint8)
    height, width = (2 * n for n in image.shape[:2])
    top, left = desk.random.randrange(height - 1), desk.random.randrange(width - 1)
    spans = (top, desk.random.randint(top + 1, height)), (left, desk.random.randint(left + 1, width))
    desk.upscaler(image, axes="YXS", region=spans)


def surveyed(desk: Desk) -> None:
    image = desk.image("TYX", np.uint16, 160)
    pixels = desk.random.choice((None, 4 * 64 * 64))
    survey = desk.upscaler.survey(image, axes="TYX", shared="T", pixels=pixels)
    survey.save(path := desk.folder / "survey.json")
    known = Survey.load(path)
    desk.upscaler(image, axes="TYX", shared="T", survey=known, region=((0, 8), (0, 8)))


def lazy(desk: Desk) -> None:
    image = desk.image("YXS", np.uint8, 96)
    desk.upscaler.lazy(image, axes="YXS", chunks=48).compute(scheduler=desk.random.choice(("threads", "synchronous")))


def named_model(desk: Desk) -> None:
    upscale(
        desk.image("YX", np.uint8),
        desk.random.choice(BUNDLED),
        axes="YX",
        precision=desk.random.choice(("auto", "bfloat16")),
    )


def default_model(desk: Desk) -> None:
    upscale(desk.image("YX", desk.random.choice((np.uint8, np.uint16))), axes="YX", scale=desk.random.choice((2, 4)))


def model_files(desk: Desk) -> None:
    """Files of new names each time, as a folder of models that somebody works in."""
    model = load_model(desk.random.choice(BUNDLED))
    name = f"model-{desk.random.getrandbits(40)}"
    model.save_pretrained(desk.folder / name)
    torch.save({"params": model.network.state_dict()}, desk.folder / f"{name}.pth")
    for path in (desk.folder / name, desk.folder / f"{name}.pth"):
        Upscaler(load_model(path))(desk.image("YX", np.uint8, 24), axes="YX")


def mixture(desk: Desk) -> None:
    mixed = Mixture(desk.upscaler, Upscaler(desk.random.choice(BUNDLED)), desk.random.random())
    mixed(desk.image("YXS", np.uint8, 32), axes="YXS")


def volume(desk: Desk) -> None:
    upscale_volume(desk.upscaler, desk.image("YX", np.uint16, 24)[None].repeat(4, 0), factor=2)


def write_source(desk: Desk, suffix: str) -> Path:
    """Write an image of that suffix for a job to read."""
    path = desk.folder / f"image{suffix}"
    if suffix == ".tif":
        axes = desk.random.choice(("YX", "ZYX", "YXS"))
        shape = (3,) * (axes == "ZYX") + (desk.side(64), desk.side(64)) + (3,) * (axes == "YXS")
        values = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
        tifffile.imwrite(path, values, compression=desk.random.choice((None, "zlib")), metadata={"axes": axes})
        return path
    mode = desk.random.choice({".jpg": ("L", "RGB"), ".ppm": ("RGB",), ".bmp": ("RGB",)}.get(suffix, ("RGB", "RGBA")))
    noise = np.random.default_rng(desk.random.getrandbits(32)).integers(0, 256, (desk.side(64), desk.side(64), 4), np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def file(desk: Desk, suffix: str, wanted: str) -> None:
    source = write_source(desk, suffix)
    target = desk.folder / f"result{wanted}"
    Batch(desk.upscaler, Framing(scale=desk.random.choice((None, 1.5, 3)))).upscale_file(Job(source, target))


def store(desk: Desk) -> None:
    picture = read_picture(write_source(desk, ".tif"), lazy=True)
    upscale_large(Large(desk.upscaler, picture, str(desk.folder / "result.ome.zarr"), {"axes": picture.axes}))


def command(desk: Desk, *arguments: str) -> int:
    """Run the command line in this process, and return its exit code."""
    given, sys.argv = sys.argv, ["esc-sr", *arguments]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            esc_sr()
    except SystemExit as done:
        return int(done.code or 0)
    finally:
        sys.argv = given
    return 0


def folder(desk: Desk) -> None:
    """A folder of three images, one of them damaged, by the command line; then once more, when all is done."""
    inside = desk.folder / "in"
    inside.mkdir()
    for number in range(2):
        Image.fromarray(desk.image("YX", np.uint8)).save(inside / f"{number}.png")
    (inside / "damaged.png").write_bytes((inside / "0.png").read_bytes()[:60])
    for more in ((), ("--skip-existing",)):
        assert command(desk, "upscale", str(inside), "-o", str(desk.folder / "out"), *more) == 1


def measured(desk: Desk) -> None:
    Image.fromarray(desk.image("YX", np.uint8, 64).repeat(2, 0).repeat(2, 1)[:128, :128]).resize((64, 64)).save(
        path := desk.folder / "true.png"
    )
    evaluate(desk.upscaler, path)
    compare(np.asarray(Image.open(path)), desk.upscaler, degradation=Degradation.parse("noise=5")).draw()


WRONG: tuple[Callable[[Desk], Any], ...] = (
    lambda desk: desk.upscaler(np.full((8, 8), np.nan, np.float32)),
    lambda desk: desk.upscaler(desk.image("YX"), axes="QQ"),
    lambda desk: desk.upscaler(desk.image("YX"), axes="YX", scale=-1),
    lambda desk: desk.upscaler(np.zeros((0, 5), np.uint8)),
    lambda desk: desk.upscaler(desk.image("YX", np.uint8), axes="YX", region=((5, 5), (0, 1))),
    lambda desk: desk.upscaler.with_memory_limit(2**20)(np.zeros((300, 300), np.uint8)),
    lambda desk: load_model(f"no-such-model-{desk.random.getrandbits(30)}"),
    lambda desk: load_model(desk.folder / "none.safetensors"),
    lambda desk: load_model(damaged(desk, "model.safetensors", b"\x08\0\0\0\0\0\0\0{}" + bytes(50))),
    lambda desk: load_model(damaged(desk, "model.pth", b"\x80\x04c" + b"os\nsystem\n(S'true'\ntR.")),
    lambda desk: read_picture(damaged(desk, "image.tif", b"II*\0\x08\0\0\0" + bytes(40))),
    lambda desk: read_picture(damaged(desk, "image.jpg", b"\xff\xd8\xff\xe0" + bytes(90))),
    lambda desk: read_picture(cut_short(desk)),
    lambda desk: Batch(desk.upscaler).upscale_file(Job(write_source(desk, ".png"), desk.folder / "no.xyz")),
    lambda desk: desk.upscaler(
        desk.image("YX", np.uint8), axes="YX", survey=desk.upscaler.survey(np.eye(9, dtype=np.uint8))
    ),
)


def damaged(desk: Desk, name: str, content: bytes) -> Path:
    (path := desk.folder / name).write_bytes(content)
    return path


def cut_short(desk: Desk) -> Path:
    path = write_source(desk, desk.random.choice((".png", ".webp", ".tif")))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def wrong(desk: Desk) -> None:
    """What can't be done is an error of ours, each time."""
    for attempt in WRONG:
        try:
            attempt(desk)
        except EscError:
            continue
        raise AssertionError(f"{attempt} went well")


def cancelled(desk: Desk) -> None:
    """Half-way, in each kind of work."""
    source = write_source(desk, ".tif")
    batch = Batch(desk.upscaler)
    for run in (
        partial(desk.upscaler, desk.image("TYX", np.uint8), axes="TYX"),
        partial(desk.upscaler.survey, desk.image("YX", np.uint16, 96), axes="YX"),
        partial(batch.run, [Job(source, desk.folder / "cancelled.tif")]),
        partial(upscale_large, Large(desk.upscaler, read_picture(source, lazy=True), str(desk.folder / "c.ome.zarr"), {})),
    ):
        asked, after = count(), desk.random.randint(1, 4)
        with contextlib.suppress(Cancelled):
            run(cancel=lambda asked=asked, after=after: next(asked) >= after)


class Interrupt(BaseException):
    """As a host's own, which it raises wherever progress is told."""


def interrupted(desk: Desk) -> None:
    def stop(done: int, total: int) -> None:
        raise Interrupt

    with contextlib.suppress(Interrupt):
        desk.upscaler(desk.image("TYX", np.uint8, 96), axes="TYX", progress=stop)
    with contextlib.suppress(Interrupt):
        Batch(desk.upscaler).run([Job(write_source(desk, ".tif"), desk.folder / "interrupted.tif")], progress=stop)


def film(desk: Desk, stopped: bool = False) -> None:
    import av

    from esc_plugin.video.film import open_film
    from esc_plugin.video.upscaling import FilmUpscaling

    source = desk.folder / "film.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 40 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    opened = open_film(str(source))
    work = FilmUpscaling(desk.upscaler, opened, desk.folder / "film_x2.mp4", Framing().frame(*opened.size, 2))
    asked = count()
    with contextlib.suppress(Cancelled):
        work(cancel=(lambda: next(asked) > 3) if stopped else None)


def workers(desk: Desk) -> None:
    """Two processes that fill a store, and end."""
    picture = read_picture(write_source(desk, ".tif"), lazy=True)
    upscale_large(Large(desk.upscaler, picture, str(desk.folder / "many.ome.zarr"), {"axes": picture.axes}), workers=2)


FILES = ((".png", ".png"), (".jpg", ".jpg"), (".webp", ".webp"), (".tif", ".tif"), (".bmp", ".png"), (".gif", ".png"))
FILES += ((".ppm", ".png"), (".png", ".tif"), (".png", ".ome.tif"), (".avif", ".avif"), (".tif", ".ome.tif"))
#: Each is done once a round.
EVERY: dict[str, Callable[[Desk], object]] = {
    "array": array,
    "array again": array,
    "means, mask": means_and_mask,
    "alpha, NaN": alpha_and_nan,
    "region": region,
    "survey": surveyed,
    "lazy": lazy,
    "named model": named_model,
    "default model": default_model,
    "model files": model_files,
    "mixture": mixture,
    "volume": volume,
    "store": store,
    "folder": folder,
    "measured": measured,
    "wrong": wrong,
    "cancelled": cancelled,
    "interrupted": interrupted,
    **{f"{a} to {b}": partial(file, suffix=a, wanted=b) for a, b in FILES},
}
#: Those that take seconds are done once in so many rounds.
SELDOM: dict[str, tuple[int, Callable[[Desk], object]]] = {"maps in files": (10, maps_in_files), "workers": (50, workers)}
if find_spec("av"):
    SELDOM |= {"film": (5, film), "film stopped": (5, partial(film, stopped=True))}
