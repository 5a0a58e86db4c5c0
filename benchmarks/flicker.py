"""What frames' own means do to a film: ``python benchmarks/flicker.py PHOTO OBJECT [--models ...]``.

Each scene is rendered with the means of each frame, with those of a handful of frames, as films are, and with those of all.
All values are levels of 255, in floating point, so that rounding hides nothing. Photo and object are RGB, of
704 x 384 pixels and 256 x 384 or more for a model of scale 4.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from esc_plugin import Upscaler
from esc_plugin.arrays.bicubic import imresize
from esc_plugin.arrays.layout import Layout
from esc_plugin.arrays.shared import share_means
from esc_plugin.files import read_picture
from esc_plugin.video.shots import spread

#: Height and width of a frame; the truth is larger by the model's scale.
SIZE = 96, 160
FRAMES = 12
#: Columns of a frame on the left that nothing local reaches in the scenes that stand still.
STILL = 48
#: Returns a frame, (H, W, 3) in 0..255, at a share of the scene, from a photo, an object and the scale.
Scene = Callable[[np.ndarray, np.ndarray, int, float], np.ndarray]


def with_object(photo: np.ndarray, thing: np.ndarray, scale: int, left: float) -> np.ndarray:
    height, width = (n * scale for n in SIZE)
    frame, left = photo[:height, :width].copy(), round(left) * scale
    stop = min(left + thing.shape[1], width)
    frame[: thing.shape[0], left:stop] = thing[:height, : stop - left]
    return frame


def moving(photo: np.ndarray, thing: np.ndarray, scale: int, share: float) -> np.ndarray:
    """A small object crosses the right half."""
    return with_object(photo, thing[: 24 * scale, : 24 * scale], scale, 96 + 32 * share)


def entering(photo: np.ndarray, thing: np.ndarray, scale: int, share: float) -> np.ndarray:
    """A large bright one comes in from the right until it covers 40 percent."""
    return with_object(photo, np.clip(thing * 0.5 + 128, 0, 255), scale, 160 - 64 * share)


def black(photo: np.ndarray, thing: np.ndarray, scale: int, share: float) -> np.ndarray:
    """Black comes in until it covers 40 percent."""
    return with_object(photo, np.zeros_like(thing), scale, 160 - 64 * share)


def pan(photo: np.ndarray, thing: np.ndarray, scale: int, share: float) -> np.ndarray:
    """The camera turns by a pixel a frame."""
    left = round(share * FRAMES) * scale
    return photo[: SIZE[0] * scale, left : left + SIZE[1] * scale]


def scene(kind: Scene, photo: np.ndarray, thing: np.ndarray, scale: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.stack([kind(photo, thing, scale, i / (FRAMES - 1)) for i in range(FRAMES)]).astype(np.uint8)
    small = np.stack([imresize(frame, SIZE) for frame in truth])
    return truth, (small + rng.normal(0, noise, small.shape)).clip(0, 255).astype(np.float32)


def render(upscaler: Upscaler, film: np.ndarray) -> dict[str, np.ndarray]:
    request = upscaler.request(film[0], axes="YXS", intensity=(0, 255), bits=8)
    levels = upscaler.levels(film[0], axes="YXS", intensity=(0, 255))
    stack = upscaler.stack(request, levels)
    own = np.empty((len(film), *stack.shape), np.float32)
    surveys = [stack.run(frame, out)[0] for frame, out in zip(film, own, strict=True)]
    found = {"own": own}
    for name, numbers in (("shot", spread(range(len(film)))), ("all", range(len(film)))):
        chosen = [surveys[i] for i in numbers]
        known = share_means(chosen, Layout((len(chosen), *film.shape[1:]), "TYXS"), "T")[:1]
        found[name] = np.empty_like(own)
        for frame, out in zip(film, found[name], strict=True):
            stack.run(frame, out, known=known)
    return found


def psnr(made: np.ndarray, truth: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((made.astype(float) - truth) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("object", type=Path)
    parser.add_argument("--models", nargs="*", default=["esc-nano-x2"])
    given = parser.parse_args()
    photo, thing = (np.asarray(read_picture(path).pixels)[..., :3] for path in (given.photo, given.object))
    print("| model | scene | noise | still pixels: own | shot | all | changes, RMS | largest | PSNR own | shot |")
    print("|---|" + "---|" * 9)
    for name in given.models:
        upscaler = Upscaler(name, precision="float32")
        scale = upscaler.model.scale
        for kind in (moving, entering, black, pan):
            for noise in (0.0, 3.0):
                truth, film = scene(kind, photo, thing, scale, noise)
                made = render(upscaler, film)
                # What changes there without noise comes from the means.
                still = {key: float(value[:, :, : STILL * scale].std(0).mean()) for key, value in made.items()}
                change = made["own"] - made["shot"]
                steps = np.diff(change, axis=0)
                columns = [f"{still[key]:.4f}" if kind is not pan else "" for key in ("own", "shot", "all")]
                columns += [f"{np.sqrt((steps**2).mean()):.4f}", f"{np.abs(change).max():.2f}"]
                columns += [f"{psnr(made[key], truth):.3f}" for key in ("own", "shot")]
                print(f"| {Path(name).stem} | {kind.__name__} | {noise:g} | " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    main()
