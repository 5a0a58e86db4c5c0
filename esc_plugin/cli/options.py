"""Arguments and options that several commands have, each declared once, and what is checked while they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..catalog.purposes import KEYS, purpose_named
from ..device import PRECISIONS
from ..errors import EscError, ImageError
from ..texts import check_path, parse_bytes, quoted
from .completion import boxes, model_names, purposes, words
from .pipes import DASH, pipes, source_of, target_of
from .terminal import be_quiet, reserve_stdout

#: What a device can be, and of which kinds there may be several.
DEVICES = ("auto", "cpu", "gpu", "cuda", "mps", "xpu")
DEVICE = re.compile(r"auto|cpu|gpu|(cuda|mps|xpu)(:\d{1,3})?")
#: Edges in pixels of what is looked at as a whole.
LARGEST_EDGE = 65_536

#: Headings in the help.
SIZE, VALUES, COMPUTING, LARGE = "Size of the result", "Values", "Computing", "Large images"

Check = Callable[[typer.CallbackParam, Any], Any]


def within(least: float, most: float) -> Check:
    """Return the check that a number, or each of several, lies in a range; NaN doesn't."""

    def check(param: typer.CallbackParam, value: Any) -> Any:
        for number in _each(value):
            if not least <= number <= most:
                raise EscError(f"{_name(param)} must be from {least:,} to {most:,}, not {quoted(number)}.")
        return value

    return check


def one_of(*known: str) -> Check:
    """Return the check that a word is among those that are known."""

    def check(param: typer.CallbackParam, value: Any) -> Any:
        if value is not None and value not in known:
            raise EscError(f"{_name(param)} must be one of {', '.join(known)}, not {quoted(value)}.")
        return value

    return check


def usable(value: Any) -> Any:
    """Check that paths are such."""
    for path in _each(value):
        check_path(path)
    return value


def one_of_words(*known: str) -> dict[str, Any]:
    """Return how an option is declared whose value is a word among those that are known: checked, and completed."""
    return {"callback": one_of(*known), "autocompletion": words(*known)}


def sources(value: list[str]) -> list[str]:
    """Return the images that are named, standard input among them."""
    return [str(source_of(name)) for name in value]


def sink(value: Any) -> Any:
    """Return the picture to write, which may be standard output; a path is checked."""
    return target_of(value)


def json_sink(value: Any) -> Any:
    """Return the JSON file to write, as `sink` does."""
    return target_of(value, ".json")


def for_programs(value: bool) -> bool:
    """Leave standard output to JSON if that is asked for."""
    if value:
        reserve_stdout("JSON")
    return value


def quietly(value: bool) -> bool:
    """Say only what goes wrong if that is asked for."""
    if value:
        be_quiet()
    return value


def place(value: str) -> Any:
    """Return the path or the address that an argument names, or the file with standard input; a path is checked."""
    if value == DASH:
        return pipes.source()
    from ..files.address import place_of

    found = place_of(value)
    return usable(found) if isinstance(found, Path) else found


def degradation(value: str) -> Any:
    """Return how an image is made worse."""
    from ..measure.degradation import Degradation

    return Degradation.parse(value)


def known_device(value: str) -> str:
    """Check the name of a device; whether it is there only torch can tell."""
    if not DEVICE.fullmatch(value):
        raise EscError(f"unknown device {quoted(value)}; known are {', '.join(DEVICES)}, cuda:1.")
    return value


def check_inputs(*paths: Path) -> None:
    """Raise an `ImageError` unless all files and folders are there."""
    for path in paths:
        if not path.exists():
            raise ImageError(f"there is no file or folder {str(path)!r}.")


def check_images(folder: Path) -> None:
    """Raise an `ImageError` unless a folder holds images."""
    from ..batch.find import find_images

    if not folder.is_dir():
        raise ImageError(f"there is no folder {str(folder)!r}.")
    find_images([folder])


def check_folder(folder: Path) -> None:
    """Raise an `EscError` unless results can go into a folder, which is there or can be made."""
    from ..batch.checks import check_place

    check_place(folder / "result")


def check_output(
    path: Path,
    suffixes: Sequence[str],
    *inputs: str | Path,
    overwrite: bool,
    ours: Callable[[Path], bool] | None = None,
    folder: bool = False,
) -> None:
    """Raise an `EscError` unless a file may be written: its suffix is known, it can be made, and nothing is lost by it.

    For the rest see `check_free`.
    """
    from ..batch.checks import check_place
    from ..disk import check_free, identities

    if path.suffix.lower() not in suffixes:
        raise EscError(f"{str(path)!r} must end in {' or '.join(suffixes)}.")
    check_place(path)
    check_free(path, inputs=identities(*inputs), overwrite=overwrite, ours=ours, folder=folder)


def _each(value: Any) -> Iterable[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _name(param: typer.CallbackParam) -> str:
    return max(param.opts, key=len)


#: Of a training: from less than a second to ten years.
some_minutes = within(0.01, 5_256_000)

MODEL_HELP = "Name (`esc-sr models`), weights file, folder, or org/repo of the Hub."

ModelName = Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL", autocompletion=model_names)]
ModelOption = Annotated[
    str | None, typer.Option("-m", "--model", help=MODEL_HELP, metavar="MODEL", autocompletion=model_names)
]
WindowSize = Annotated[
    int | None, typer.Option(callback=within(1, 1024), help="Windows of an ESC-RIB in pixels, where its file doesn't tell.")
]
Purpose = Annotated[
    str | None,
    typer.Option(
        "--for",
        callback=lambda text: text and purpose_named(text),
        help=f"Kind of images, or how that begins: {', '.join(KEYS)}.",
        metavar="KIND",
        autocompletion=purposes,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        callback=known_device,
        autocompletion=words(*DEVICES),
        rich_help_panel=COMPUTING,
        help="auto, cpu, gpu for any, or cuda, cuda:1, mps, xpu.",
    ),
]
Gpu = Annotated[
    bool, typer.Option("--gpu", rich_help_panel=COMPUTING, help="As --device gpu: a GPU, or an error where there is none.")
]
Cpu = Annotated[bool, typer.Option("--cpu", rich_help_panel=COMPUTING, help="As --device cpu.")]
Precision = Annotated[
    str,
    typer.Option(
        **one_of_words("auto", *PRECISIONS), rich_help_panel=COMPUTING, help=f"{', '.join(('auto', *PRECISIONS))}."
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        parser=parse_bytes,
        metavar="SIZE",
        rich_help_panel=COMPUTING,
        help="Most memory to use, such as 4GB. The result is the same.",
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        callback=within(0, 65_536),
        metavar="COUNT",
        rich_help_panel=COMPUTING,
        help="Most threads of a processor to use, of each process; 0 for all cores. The result is the same.",
    ),
]
Scale = Annotated[
    float | None,
    typer.Option("-s", "--scale", rich_help_panel=SIZE, help="Any factor, such as 2.7; by default the model's."),
]
Width = Annotated[int | None, typer.Option(rich_help_panel=SIZE, help="Width of the result in pixels; the height follows.")]
Height = Annotated[int | None, typer.Option(rich_help_panel=SIZE, help="Height of the result in pixels; the width follows.")]
BOX = "WxH|4K"
Fit = Annotated[
    str | None,
    typer.Option(
        metavar=BOX,
        autocompletion=boxes,
        rich_help_panel=SIZE,
        help="Largest result inside a box, such as 3840x2160, or HD, 2K, 4K, 8K.",
    ),
]
Fill = Annotated[
    str | None,
    typer.Option(
        metavar=BOX, autocompletion=boxes, rich_help_panel=SIZE, help="Cover a box, and crop to it around the centre."
    ),
]
Stretch = Annotated[
    str | None,
    typer.Option(metavar=BOX, autocompletion=boxes, rich_help_panel=SIZE, help="Exactly a box, whatever the proportions."),
]
Longest = Annotated[
    int | None,
    typer.Option(rich_help_panel=SIZE, help="Longer edge of the result in pixels; with --shortest, at most so many."),
]
Shortest = Annotated[int | None, typer.Option(rich_help_panel=SIZE, help="Shorter edge of the result in pixels.")]
ResultMegapixels = Annotated[
    float | None, typer.Option("--result-megapixels", rich_help_panel=SIZE, help="Millions of pixels that the result has.")
]
Passes = Annotated[
    int | None,
    typer.Option(
        callback=within(0, 6),
        rich_help_panel=SIZE,
        help="How often the network runs; with 1 it also cleans an image that doesn't grow. By default as often as needed.",
    ),
]
Intensity = Annotated[
    str,
    typer.Option(
        rich_help_panel=VALUES,
        help="What the network sees as black and white: auto, range, minmax, percentile, or LOW,HIGH.",
    ),
]
Nan = Annotated[
    str,
    typer.Option(**one_of_words("error", "keep"), rich_help_panel=VALUES, help="What NaN and infinity are: error, or keep."),
]
Alpha = Annotated[
    str,
    typer.Option(
        **one_of_words("network", "lanczos"), rich_help_panel=VALUES, help="What upscales transparency: network or lanczos."
    ),
]
LinearLight = Annotated[
    bool, typer.Option("--linear-light", rich_help_panel=VALUES, help="Resize to the target in linear light.")
]
Consistency = Annotated[
    bool, typer.Option("--consistency", rich_help_panel=VALUES, help="Keep the averages over each input pixel.")
]
Strength = Annotated[
    float,
    typer.Option(
        callback=within(0, 1),
        rich_help_panel=VALUES,
        help="How much of the network there is, 0 to 1; the rest is interpolated.",
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        callback=usable,
        rich_help_panel=VALUES,
        help="Gray image file: the network where it is white, interpolated where it is black.",
    ),
]
BlendModel = Annotated[
    str | None,
    typer.Option(
        "--blend",
        metavar="MODEL",
        autocompletion=model_names,
        rich_help_panel=VALUES,
        help="A second model; the result is a mixture of both.",
    ),
]
BlendShare = Annotated[
    float, typer.Option(callback=within(0, 1), rich_help_panel=VALUES, help="How much of the second model there is, 0 to 1.")
]
Shared = Annotated[
    str | None,
    typer.Option(
        metavar="AXES",
        rich_help_panel=VALUES,
        help="Axes whose planes share what is known of them, such as T: a film doesn't flicker then.",
    ),
]
Sampled = Annotated[
    int | None,
    typer.Option(
        callback=within(1, 10**12),
        metavar="PIXELS",
        rich_help_panel=LARGE,
        help="Estimate the survey from so many pixels of each plane, where an exact one can't be had.",
    ),
]
ImageFile = Annotated[
    Any, typer.Argument(parser=place, help="Image file, - for standard input, Zarr folder or address.", metavar="IMAGE")
]
Axes = Annotated[str | None, typer.Option(help="Letters of a stack's axes, such as TZCYX; by default the file's.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist, but no input.")]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", is_eager=True, callback=for_programs, help="For programs: JSON, and nothing else on standard output."
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", is_eager=True, callback=quietly, help="Say nothing but what goes wrong.")
]
