"""What cutting the image into tiles changes, measured and drawn; cutting the work changes nothing.

    PYTHONPATH=. python benchmarks/tiles.py
    PYTHONPATH=. python benchmarks/tiles.py --models esc-nano-x2 --side 256 --tiles 128 --passes 2
    PYTHONPATH=. python benchmarks/tiles.py --side 320 --tiles 128 --moved 7 16
    PYTHONPATH=. python benchmarks/tiles.py --side 992 --picture docs/images/tiles.png

Pictures that people know (scikit-image's, or drawn here), each enlarged untiled, in the smallest chunks of work, and in
tiles as ComfyUI's own node makes and blends them. Prints how far the last two are from the first, in levels of 255.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor

from esc_plugin.arrays.planes import TensorImage
from esc_plugin.catalog.load import load_model
from esc_plugin.engine import Plan, Run
from esc_plugin.engine.plan import LEAST_CHUNK_BYTES
from esc_plugin.network import ESC

OVERLAP = 32  # input pixels, as there
TONE = 8  # input pixels along the squares whose means tell a change of tone from one of single pixels
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32

Enlarge = Callable[[ESC, Tensor], Tensor]


def tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) in 0..255 -> (1, 3, H, W) in 0..1."""
    return torch.from_numpy(np.array(picture, np.float32)).permute(2, 0, 1)[None] / 255


def photo(side: int) -> np.ndarray:
    """Mirror a photograph at its edges until the size is reached."""
    picture = data.astronaut()
    more = max(0, side - len(picture))
    return np.pad(picture, ((0, more), (0, more), (0, 0)), mode="symmetric")[:side, :side]


def half_dark(side: int) -> np.ndarray:
    """A dark room with film grain, and a photograph from the middle on."""
    dark = 12 + np.random.default_rng(0).normal(0, 7, (side, side, 1)).repeat(3, 2)
    dark[:, side // 2 :] = photo(side)[:, : side - side // 2]
    return dark.clip(0, 255)


def dithered(side: int) -> np.ndarray:
    """A photograph in 64 colours with a 4x4 pattern, as in old games."""
    pattern = np.tile(BAYER, (side // 4 + 1, side // 4 + 1))[:side, :side, None]
    return np.floor(photo(side) / 255 * 3 + pattern).clip(0, 3) * 85


def screenshot(side: int) -> np.ndarray:
    """Small text, light on dark beside dark on light."""
    sheet = Image.new("RGB", (side, side), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    draw.rectangle((0, 0, side * 2 // 5, side), fill=(30, 30, 34))
    for row in range(0, side, 16):
        draw.text((10, row), f"def tiled(image, tile={row}): return", fill=(200, 220, 180), font=font)
        draw.text((side * 2 // 5 + 20, row), f"The quick brown fox jumps over the lazy dog {row}", fill="black", font=font)
    return np.array(sheet)


def comic(side: int) -> np.ndarray:
    """A page: a panel of screentone, whose dots are pixels, with a speech bubble, and ink and letters on white."""
    rows, columns = np.indices((side, side))
    tone = (columns < side // 2) | (rows // (side // 6) == 2)
    sheet = Image.fromarray(np.where(tone & ((rows + columns) % 2 == 0), 0, 255).astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(sheet)
    draw.ellipse((side // 12, side // 8, side * 5 // 12, side * 5 // 16), fill="white", outline="black", width=3)
    draw.text((side // 6, side // 5), "Where are we?", fill="black", font=ImageFont.load_default(side // 32))
    for row in range(side // 24, side // 3, side // 20):
        text = "And then it was night again."
        draw.text((side * 13 // 24, row), text, fill="black", font=ImageFont.load_default(side // 34))
    for angle in range(0, 360, 15):
        x, y, turn = side * 17 / 24, side * 3 / 4, math.radians(angle)
        draw.line((x, y, x + side / 5 * math.cos(turn), y + side / 5 * math.sin(turn)), fill="black", width=2)
    draw.rectangle((1, 1, side - 2, side - 2), outline="black", width=4)
    return np.array(sheet)


PICTURES = {
    "photograph": photo,
    "half dark": half_dark,
    "dithered": dithered,
    "screenshot": screenshot,
    "comic page": comic,
}


def chunked(network: ESC, image: Tensor) -> Tensor:
    """Run in the smallest chunks."""
    geometry = network.geometry(*image.shape[-2:])
    program = network.program(geometry)
    out = torch.empty(1, 3, *geometry.output)
    plan = Plan(dict.fromkeys(program.channels, "device"), LEAST_CHUNK_BYTES)
    Run(program, geometry, plan, TensorImage(image), TensorImage(out), torch.device("cpu"), torch.float32).execute()
    return out


def tiled(network: ESC, image: Tensor, tile: int) -> Tensor:
    """Cut the image into overlapping tiles and blend them as comfy.utils.tiled_scale does."""
    scale, (height, width) = network.config.scale, image.shape[-2:]
    total = torch.zeros(1, 3, height * scale, width * scale)
    weight = torch.zeros(1, 1, height * scale, width * scale)
    for top in starts(height, tile):
        for left in starts(width, tile):
            out = network(image[..., top : top + tile, left : left + tile])
            mask = ramp(out.shape[-2], OVERLAP * scale)[:, None] * ramp(out.shape[-1], OVERLAP * scale)
            rows, columns = (slice(at * scale, at * scale + n) for at, n in zip((top, left), out.shape[-2:], strict=True))
            total[..., rows, columns] += out * mask
            weight[..., rows, columns] += mask
    return total / weight


def starts(length: int, tile: int) -> range:
    return range(0, length - OVERLAP, tile - OVERLAP) if length > tile else range(1)


def ramp(length: int, feather: int) -> Tensor:
    weights = torch.ones(length)
    if feather < length:
        rise = torch.arange(1, feather + 1) / feather
        weights[:feather] *= rise
        weights[-feather:] *= rise.flip(0)
    return weights


def enlarge(how: Enlarge, network: ESC, image: Tensor, passes: int) -> Tensor:
    for _ in range(passes):
        image = how(network, image).clamp(0, 1)
    return image


def brighter(image: Tensor) -> Tensor:
    """Raise the exposure by two stops, in linear light."""
    linear = torch.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)
    linear = (4 * linear).clamp(0, 1)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def tone(difference: Tensor, scale: int) -> float:
    return float(F.avg_pool2d(difference, TONE * scale, TONE * scale // 4).abs().max())


def cells(found: Tensor, expected: Tensor, scale: int) -> list[str]:
    difference = (found - expected) * 255
    bright = (brighter(found) - brighter(expected)) * 255
    values = difference.abs().mean(), difference.abs().max(), tone(difference, scale), tone(bright, scale)
    return [f"{float(v):.{0 if v >= 10 else 1 if v >= 1 else 3}f}" for v in values]


def table(models: list[str], side: int, tiles: list[int], passes: int) -> None:
    ways: dict[str, Enlarge] = {"chunks of work": chunked}
    ways |= {f"tiles of {n}": lambda network, image, n=n: tiled(network, image, n) for n in tiles}
    print("| model | picture | | mean | largest | tone | tone, 2 stops brighter |\n|---|---|---|---|---|---|---|")
    for model in models:
        network = load_model(model).network
        for name, make in PICTURES.items():
            image = tensor(make(side))
            expected = enlarge(ESC.forward, network, image, passes)
            for way, how in ways.items():
                row = cells(enlarge(how, network, image, passes), expected, network.config.scale**passes)
                print(f"| {model} | {name} | {way} | " + " | ".join(row) + " |", flush=True)


def moved(model: str, side: int, tile: int, by: list[int]) -> None:
    """What else an object gets for pixels where the image begins some pixels later; a window from the edge and further."""
    network = load_model(model).network
    scale, margin = network.config.scale, OVERLAP * network.config.scale
    ways: dict[str, Enlarge] = {"untiled": ESC.forward, f"tiles of {tile}": lambda net, image: tiled(net, image, tile)}
    print("| picture | moved by | | mean | largest | tone | tone, 2 stops brighter |\n|---|---|---|---|---|---|---|")
    for name, make in PICTURES.items():
        for step in by:
            image = tensor(make(side + step))
            for way, how in ways.items():
                before, after = (enlarge(how, network, image[..., at : at + side, at : at + side], 1) for at in (0, step))
                kept = slice(margin, (side - step) * scale - margin)
                before = before[..., step * scale :, step * scale :][..., kept, kept]
                row = cells(after[..., kept, kept], before, scale)
                print(f"| {name} | {step} | {way} | " + " | ".join(row) + " |", flush=True)


def draw(path: str, model: str, side: int, tile: int, times: int) -> None:
    """Tiles, chunks of work and their difference: the whole page small, and the part that differs most as it is."""
    network = load_model(model).network
    image = tensor(comic(side))
    pair = [tiled(network, image, tile).clamp(0, 1), chunked(network, image).clamp(0, 1)]
    difference = (pair[0] - pair[1]).abs().amax(1, keepdim=True)
    print(f"largest difference in the picture: {float(difference.max()) * 255:.1f} levels of 255")
    pair.append((times * difference).expand(-1, 3, -1, -1).clamp(0, 1))
    whole = [F.interpolate(p, size=(300, 300), mode="area") for p in pair[:2]]
    # The largest of each block, so that a line one pixel wide doesn't get lost.
    whole.append(F.adaptive_max_pool2d(pair[2], 300))
    at = int(F.avg_pool2d(difference, 300, 20).argmax())
    wide = (difference.shape[-1] - 300) // 20 + 1
    rows, columns = (slice(20 * n, 20 * n + 300) for n in divmod(at, wide))
    sheet = torch.full((1, 3, 600 + 3 * 22, 900 + 2 * 8), 1.0)
    for column, (small, full) in enumerate(zip(whole, pair, strict=True)):
        left = slice(308 * column, 308 * column + 300)
        sheet[..., 22:322, left], sheet[..., 344:644, left] = small, full[..., rows, columns]
    page = Image.fromarray((sheet[0].permute(1, 2, 0) * 255).round().byte().numpy())
    label(page, [f"tiles of {tile}, overlap {OVERLAP}", "ours", f"difference x {times}"])
    page.convert("RGB").quantize(64).save(path, optimize=True)


def label(page: Image.Image, names: list[str]) -> None:
    canvas, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, name in enumerate(names):
        small = "the whole, largest of each block" if column == 2 else "the whole, made small"
        canvas.text((308 * column, 3), f"{name}: {small}", fill="black", font=font)
        canvas.text((308 * column, 325), "the part that differs most, pixel by pixel", fill="black", font=font)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", nargs="+", default=["esc-nano-x4"], help="names or paths; a picture takes the first")
    parser.add_argument("--side", type=int, default=640, help="of the pictures, pixels")
    parser.add_argument("--tiles", type=int, nargs="+", default=[512, 256, 128], help="a picture takes the first")
    parser.add_argument("--passes", type=int, default=1, help="how often the network runs")
    parser.add_argument("--moved", type=int, nargs="+", default=[], metavar="PIXELS", help="move the pictures instead")
    parser.add_argument("--picture", help="draw the comic page instead of measuring")
    parser.add_argument("--times", type=int, default=8, help="how much the picture magnifies the difference")
    args = parser.parse_args()
    with torch.inference_mode():
        if args.picture:
            draw(args.picture, args.models[0], args.side, args.tiles[0], args.times)
        elif args.moved:
            moved(args.models[0], args.side, args.tiles[0], args.moved)
        else:
            table(args.models, args.side, args.tiles, args.passes)


if __name__ == "__main__":
    main()
