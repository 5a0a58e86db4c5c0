"""What the engine's tests in JavaScript compare with: cases in a folder, computed by the package itself."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from PIL.ImageCms import ImageCmsProfile, createProfile

from esc_plugin import Upscaler
from esc_plugin.arrays.facts import alpha_levels
from esc_plugin.arrays.levels import Levels
from esc_plugin.arrays.planes import Plane, PlaneSink, PlaneSource
from esc_plugin.disk import file_sha256
from esc_plugin.engine.partition import spans
from esc_plugin.export.export import export
from esc_plugin.export.order import Order
from esc_plugin.files import read_picture
from esc_plugin.files.png import SIGNATURE
from esc_plugin.network.grid import Region
from esc_plugin.weights.model import Model

LEVELS = Levels(0.0, 255.0, np.dtype(np.uint8))


def write_json(path: Path, cases: Any) -> None:
    path.write_text(json.dumps(cases), encoding="utf-8")


def _corners(region: Region) -> list[int]:
    return [region.top, region.left, region.bottom, region.right]


def write_grid(folder: Path, count: int = 400) -> None:
    chance, regions, cuts, partitions = np.random.default_rng(0), [], [], []
    for _ in range(count):
        size = (int(chance.integers(1, 90)), int(chance.integers(1, 90)))
        multiple, reach = int(chance.integers(1, 20)), int(chance.integers(0, 30))
        top, left = int(chance.integers(size[0])), int(chance.integers(size[1]))
        bottom, right = int(chance.integers(top, size[0])) + 1, int(chance.integers(left, size[1])) + 1
        region = Region(top, left, bottom, right)
        grown = region.grow(reach, size)
        regions.append(
            {"region": _corners(region), "reach": reach, "multiple": multiple, "size": size}
            | {"grown": _corners(grown), "whole": _corners(grown.aligned(multiple, size))}
        )
        parts = int(chance.integers(1, max(size[0] // multiple, 1) + 1))
        found = list(spans(0, size[0], parts, multiple))
        cuts.append({"length": size[0], "parts": parts, "multiple": multiple, "found": found})
        # The smallest crop there is: a window, or nearly two at the end, with the reach on both sides, on windows.
        least = (2 * multiple + 2 * reach + 2 * multiple) ** 2
        limit = least + int(chance.integers(3000))
        partitions.append({"size": size, "reach": reach, "multiple": multiple, "limit": limit})
    for name, cases in (("grid", regions), ("spans", cuts), ("partition", partitions)):
        write_json(folder / f"{name}.json", cases)


def _pixels(chance: np.random.Generator, size: tuple[int, int], samples: int) -> np.ndarray:
    pixels = chance.integers(0, 256, (*size, samples), np.uint8)
    if samples % 2 == 0:  # what is opaque, and what nobody sees, are cases of their own
        pixels[..., -1] = np.where(chance.random(size) < 0.5, chance.choice([0, 255], size), pixels[..., -1])
    return pixels


def _source(pixels: np.ndarray) -> PlaneSource:
    """Return the colours as `Upscaler` shows them to a network."""
    samples = pixels.shape[2]
    colours = pixels[..., 0] if samples < 3 else pixels[..., :3]
    source = PlaneSource(Plane.of(colours), LEVELS)
    if samples % 2 == 0 and (pixels[..., -1] < 255).any():
        source.alpha, source.alpha_levels = Plane.of(pixels[..., -1]), alpha_levels(LEVELS.dtype)
    return source


def write_values(folder: Path) -> None:
    chance, planes, made = np.random.default_rng(1), [], []
    for samples in (1, 2, 3, 4):
        pixels, region = _pixels(chance, (13, 17), samples), Region(2, 3, 11, 14)
        name = f"plane{samples}"
        (folder / f"{name}.pixels").write_bytes(pixels.tobytes())
        (folder / f"{name}.colours").write_bytes(_bytes_of(_source(pixels).read(region)))
        (folder / f"{name}.alpha").write_bytes(
            _bytes_of(PlaneSource(Plane.of(pixels[..., -1]), alpha_levels(LEVELS.dtype)).read(region))
        )
        corners = {"top": region.top, "left": region.left, "bottom": region.bottom, "right": region.right}
        planes.append({"name": name, "height": 13, "width": 17, "samples": samples, "region": corners})
        made.append(_write_made(folder, chance, samples))
    write_json(folder / "planes.json", planes)
    write_json(folder / "made.json", made)


def _bytes_of(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def _write_made(folder: Path, chance: np.random.Generator, samples: int) -> dict[str, Any]:
    """Write what a network may make, beyond 0..1 too, and just between two levels; and the pixels that it becomes."""
    name, (height, width), whole = f"made{samples}", (11, 9), Region(0, 0, 11, 9)
    colours, alpha = (torch.from_numpy(chance.uniform(-0.2, 1.2, (1, 3, height, width)).astype(np.float32)) for _ in "ca")
    colours[0, :, :2] = torch.from_numpy((chance.integers(0, 255, (3, 2, width)) + 0.5).astype(np.float32) / 255)
    if samples < 3:
        colours = colours[:, :1].expand(1, 3, -1, -1)
    alpha = alpha[:, :1].expand(1, 3, -1, -1)
    (folder / f"{name}.colours").write_bytes(_bytes_of(colours))
    (folder / f"{name}.alpha").write_bytes(_bytes_of(alpha))
    rgba = np.full((height, width, 4), 255, np.uint8)
    shares: tuple[Any, Any] = (None, None)
    if samples % 2 == 0:
        transparency = np.empty((height, width), np.uint8)
        shares = transparency, alpha_levels(LEVELS.dtype)
        PlaneSink(transparency, shares[1], clip=True).write(whole, alpha)
        rgba[..., 3] = transparency
    out = np.empty((height, width) if samples < 3 else (height, width, 3), np.uint8)
    PlaneSink(out, LEVELS, *shares).write(whole, colours)
    rgba[..., :3] = out[..., None] if out.ndim == 2 else out
    (folder / f"{name}.rgba").write_bytes(rgba.tobytes())
    return {"name": name, "samples": samples, "height": height, "width": width}


def write_pngs(folder: Path) -> None:
    chance, size, cases = np.random.default_rng(2), (19, 23), []

    def keep(name: str, image: Image.Image, expected: np.ndarray, **options: Any) -> None:
        image.save(folder / f"{name}.png", **options)
        samples = expected.shape[2] if expected.ndim == 3 else 1
        (folder / f"{name}.pixels").write_bytes(np.ascontiguousarray(expected, np.uint8).tobytes())
        cases.append({"name": name, "height": size[0], "width": size[1], "samples": samples})

    for mode, samples in (("RGB", 3), ("L", 1), ("LA", 2), ("RGBA", 4)):
        pixels = _pixels(chance, size, samples)
        image = Image.fromarray(pixels[..., 0] if samples == 1 else pixels)
        assert image.mode == mode
        keep(mode, image, pixels)
        smooth = np.add.outer(np.arange(size[0]), np.arange(size[1]))[..., None] * 3 % 256 + np.arange(samples)
        smooth = smooth.astype(np.uint8)
        keep(f"{mode}smooth", Image.fromarray(smooth[..., 0] if samples == 1 else smooth), smooth, optimize=True)
    bits = chance.random(size) < 0.5
    keep("1", Image.fromarray(bits), bits * np.uint8(255))
    for colours in (2, 4, 16, 200):
        palette = Image.fromarray(chance.integers(0, colours, size, np.uint8), "P")
        palette.putpalette(chance.integers(0, 256, 3 * colours, np.uint8).tobytes())
        keep(f"P{colours}", palette, np.array(palette.convert("RGB")))
        keep(f"P{colours}key", palette, _seen(palette), transparency=bytes([0, 99]))
    rgb = Image.fromarray(_pixels(chance, size, 3) // 128 * 255)
    key = np.dstack([np.array(rgb), np.where((np.array(rgb) == (255, 0, 255)).all(-1), 0, 255).astype(np.uint8)])
    keep("RGBkey", rgb, key, transparency=(255, 0, 255))
    deep = chance.integers(0, 65536, size, np.uint16)
    keep("gray16", Image.fromarray(deep), np.rint(deep / 257))
    for depth, samples in ((8, 3), (8, 1), (2, 1), (1, 1)):
        for small in (size, (1, 3), (5, 1)):
            name = f"interlaced{depth}{samples}{small[0]}"
            _write_interlaced(folder / f"{name}.png", chance.integers(0, 2**depth, (*small, samples), np.uint8), depth)
            with Image.open(folder / f"{name}.png") as image:
                (folder / f"{name}.pixels").write_bytes(np.array(image.convert("RGB" if samples == 3 else "L")).tobytes())
            cases.append({"name": name, "height": small[0], "width": small[1], "samples": samples})
    write_json(folder / "png.json", cases)
    _write_described(folder)
    _write_turned(folder)


def _write_interlaced(path: Path, pixels: np.ndarray, depth: int) -> None:
    """Write gray (Y, X, 1) or RGB (Y, X, 3) in PNG's seven passes, which Pillow only reads."""
    packed = b""
    for left, top, across, down in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        for row in pixels[top::down, left::across]:
            bits = np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - depth :]
            packed += b"\0" + np.packbits(bits).tobytes() if row.size else b""
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, 2 if pixels.shape[2] == 3 else 0, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(packed)), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(SIGNATURE + b"".join(framed))


def _seen(palette: Image.Image) -> np.ndarray:
    shown = palette.copy()
    shown.info["transparency"] = bytes([0, 99])
    return np.array(shown.convert("RGBA"))


def _write_described(folder: Path) -> None:
    """Write a PNG with all kinds of remarks."""
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", (45455).to_bytes(4, "big"))
    info.add(b"sRGB", b"\0")
    info.add_text("Title", "a picture")
    info.add_itxt("XML:com.adobe.xmp", "<x/>")
    exif = Image.Exif()
    exif[0x010E] = "a picture"
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    Image.new("RGB", (3, 2)).save(folder / "described.png", pnginfo=info, exif=exif, icc_profile=profile)


def write_model(folder: Path, model: Model, runtime: Path) -> dict[str, Any]:
    """Export a model and return what the page is told of it."""
    facts = Order(model, "regions").facts()
    about: dict[str, Any] = {
        name: int(facts[name]) for name in ("scale", "window", "unshuffle", "reach", "layers", "channels")
    }
    about |= {"name": model.name, "sha256": model.sha256, "version": "1"}
    for form in ("regions", "whole"):
        path = folder / f"{model.name}-{form}.onnx"
        export(model, path, form=form, check_it=False)
        about[form] = file_of(path)
    return {"runtime": str(runtime), "model": about, "pictures": []}


def file_of(path: Path) -> dict[str, Any]:
    return {"url": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size}


def write_pictures(folder: Path, upscaler: Upscaler) -> list[dict[str, Any]]:
    """Write pictures, how they shall be upscaled, and what they become here."""
    chance, pictures = np.random.default_rng(3), []
    regions = {"limit": 80**2, "survey": "exact"}
    for samples, size, wishes in (
        (3, (50, 70), {}),
        (3, (150, 103), regions),
        (1, (30, 41), {}),
        (2, (90, 83), regions),
        (4, (85, 97), regions),
        (4, (21, 30), {}),
        (3, (1, 3), {}),
    ):
        pixels = _pixels(chance, size, samples)
        name = f"picture{samples}-{size[0]}"
        Image.fromarray(pixels[..., 0] if samples == 1 else pixels).save(folder / f"{name}.png")
        picture = read_picture(folder / f"{name}.png")
        expected = upscaler(picture.pixels, axes=picture.axes)
        (folder / f"{name}.expected").write_bytes(expected.tobytes())
        pictures.append({"name": name, "samples": samples, "wishes": wishes})
        if "survey" in wishes:
            pictures[-1]["method"] = wishes["survey"]
    return pictures


def _write_turned(folder: Path) -> None:
    """Write a picture as cameras do that were held in each way."""
    pixels, cases = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3), []
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x010F], exif[0x0112] = "a maker", orientation
        path = folder / f"turned{orientation}.png"
        Image.fromarray(pixels).save(path, exif=exif)
        seen = np.asarray(read_picture(path).pixels)
        cases.append({"name": path.name, "height": seen.shape[0], "width": seen.shape[1], "pixels": seen.ravel().tolist()})
    write_json(folder / "turned.json", cases)
