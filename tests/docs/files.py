"""The files that the documentation speaks of, but small."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as dask
import numpy as np
import tifffile
import torch
from PIL import Image

from esc_plugin import load_model
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_image import save_image
from esc_plugin.network import ESC, EscConfig

from ..small import small_config
from .pages import ROOT

PIXEL_SIZES = Axes("zyx", (0.5, 0.16, 0.16), (0.0, 0.0, 0.0), ("micrometer",) * 3)


def spots(*shape: int) -> np.ndarray:
    """Return what a microscope with a camera of 12 bits sees."""
    rng = np.random.default_rng(0)
    return (200 + 3000 * rng.random(shape) ** 8).astype(np.uint16)


def colours(height: int, width: int) -> np.ndarray:
    """Return waves (H, W, 3), 8-bit."""
    y, x = np.mgrid[:height, :width] / 20
    return np.rint(127 + 100 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)).astype(np.uint8)


def photo(path: Path) -> None:
    # Large enough for the details that pages show of a photo.
    Image.fromarray(colours(100, 130)).save(path)


def micrograph(path: Path) -> None:
    tifffile.imwrite(path, spots(48, 56))


def stack(path: Path) -> None:
    save_image(path, spots(2, 48, 56), PIXEL_SIZES, name="cells")


def mask(path: Path) -> None:
    Image.fromarray(255 * (colours(100, 130)[..., 0] > 127).astype(np.uint8)).save(path)


def film(path: Path) -> None:
    from ..films import make_film, picture

    make_film(path, [picture(seed) for seed in range(3)], codec="mpeg4", pixel_format="yuv420p")


def weights(path: Path) -> None:
    torch.save(load_model("esc-nano-x2").network.state_dict(), path)


def photo_weights(path: Path) -> None:
    torch.save(load_model("esc-nano-real-x4").network.state_dict(), path)


def small(path: Path) -> None:
    """Write a network that is quick, for commands that take long with any other."""
    torch.save(ESC(small_config()).state_dict(), path)


def rib(path: Path) -> None:
    """Write weights of the kind whose file doesn't tell the window."""
    small = {"dim": 16, "pdim": 8, "kernel_size": 3, "n_blocks": 1, "conv_blocks": 1, "window_size": 64, "num_heads": 2}
    small |= {"proj_hidden": 32, "conv_hidden": 20, "scale": 2, "last_norm": True}
    config = EscConfig(**small, position="rib", position_rank=2, rib_hidden=6, rib_freqs=3)
    torch.save(ESC(config).state_dict(), path)


def safe(path: Path) -> None:
    shutil.copyfile(ROOT / "esc_plugin/catalog/bundled/esc-nano-x2.safetensors", path)


def folder_of(make: Callable[[Path], None], suffix: str, count: int) -> Callable[[Path], None]:
    def made(path: Path) -> None:
        for number in range(count):
            make(path / f"{number}{suffix}")

    return made


photos, micrographs = folder_of(photo, ".png", 2), folder_of(micrograph, ".tif", 5)
MAKERS: dict[Callable[[Path], Any], str] = {
    photo: "photo.png photo.jpg render.png image.png",
    mask: "face.png",
    micrograph: "cells.tif fish.tif new.tif scan16.tif",
    stack: "stack.ome.tif slide.ome.tif slide.ome.zarr",
    film: "film.mp4 film.mov film.mkv",
    weights: "weights.pth mine.pth",
    safe: "mine.safetensors",
    photo_weights: "ESC_Real_X4_GAN.pth",
    small: "small.pth",
    rib: "ESCRIB_mine.pth",
    photos: "scans photos Set5 Set5/HR DIV2K train_tiles tissue",
    micrographs: "cells nuclei",
}
FILES = {name: make for make, names in MAKERS.items() for name in names.split()}


def make_files(folder: Path) -> None:
    for name, make in FILES.items():
        path = folder / name
        (path if make in (photos, micrographs) else path.parent).mkdir(parents=True, exist_ok=True)
        make(path)


def arrays() -> dict[str, Any]:
    """Return what Python blocks call by a name without making it: arrays that readers have."""
    image = colours(100, 130)
    return {
        "image": image,
        "dask_or_zarr_array": dask.from_array(image, chunks=(40, 50, 3)),
        "memory_mapped": np.zeros((200, 260, 3), np.uint8),
        "mask": image[..., 0] > 127,
        "stack": spots(2, 3, 20, 24),
        "dapi": spots(3, 128, 128),
        "gfp": spots(3, 128, 128),
    }
