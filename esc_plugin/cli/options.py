"""Arguments and options that several commands have, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..catalog.purposes import KEYS, purpose_named
from ..device import PRECISIONS
from ..texts import parse_bytes
from . import values
from .completion import boxes, model_names, purposes, words

#: Headings in the help.
SIZE, VALUES, COMPUTING, LARGE = "Size of the result", "Values", "Computing", "Large images"

MODEL_HELP = "Name (`esc-sr models`), weights file, folder, or org/repo of the Hub."

ModelName = Annotated[str, typer.Argument(help=MODEL_HELP, metavar="MODEL", autocompletion=model_names)]
ModelOption = Annotated[
    str | None, typer.Option("-m", "--model", help=MODEL_HELP, metavar="MODEL", autocompletion=model_names)
]
WindowSize = Annotated[
    int | None,
    typer.Option(callback=values.within(1, 1024), help="Windows of an ESC-RIB in pixels, where its file doesn't tell."),
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
        callback=values.known_device,
        autocompletion=words(*values.DEVICES),
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
        **values.one_of_words("auto", *PRECISIONS), rich_help_panel=COMPUTING, help=f"{', '.join(('auto', *PRECISIONS))}."
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
        callback=values.within(0, 65_536),
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
        callback=values.within(0, 6),
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
    typer.Option(
        **values.one_of_words("error", "keep"), rich_help_panel=VALUES, help="What NaN and infinity are: error, or keep."
    ),
]
Alpha = Annotated[
    str,
    typer.Option(
        **values.one_of_words("network", "lanczos"),
        rich_help_panel=VALUES,
        help="What upscales transparency: network or lanczos.",
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
        callback=values.within(0, 1),
        rich_help_panel=VALUES,
        help="How much of the network there is, 0 to 1; the rest is interpolated.",
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        callback=values.usable,
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
    float,
    typer.Option(
        callback=values.within(0, 1), rich_help_panel=VALUES, help="How much of the second model there is, 0 to 1."
    ),
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
        callback=values.within(1, 10**12),
        metavar="PIXELS",
        rich_help_panel=LARGE,
        help="Estimate the survey from so many pixels of each plane, where an exact one can't be had.",
    ),
]
ImageFile = Annotated[str, typer.Argument(help="Image file, - for standard input, Zarr folder or address.", metavar="IMAGE")]
Axes = Annotated[str | None, typer.Option(help="Letters of a stack's axes, such as TZCYX; by default the file's.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist, but no input.")]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        is_eager=True,
        callback=values.for_programs,
        help="For programs: JSON, and nothing else on standard output.",
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", is_eager=True, callback=values.quietly, help="Say nothing but what goes wrong.")
]
