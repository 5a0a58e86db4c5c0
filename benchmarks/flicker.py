"""What frames' own means do to a film: ``python benchmarks/flicker.py PHOTO OBJECT [--models ...]``.

Each scene is rendered with the means of each frame, with those of a handful of frames, as films are, and with those of all.
All values are levels of 255, in floating point, so that rounding hides nothing. Photo and object are RGB, the photo is 384
pixels wide or more.
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

#: Height and width of the truth; frames are half of it.
SIZE = 192, 320
#: (H, W, 3) in 0..255, and which pixels stand still with nothing that moves near them.
Scene = Callable[[np.ndarray, np.ndarray, float], tuple[np.ndarray, np.ndarray]]


def with_object(photo: np.ndarray, thing: np.ndarray, left: int) -> tuple[np.ndarray, np.ndarray]:
    frame, still = photo[: SIZE[0], : SIZE[1]].copy(), np.ones(SIZE, bool)
    start, stop = max(left, 0), min(left + thing.shape[1], SIZE[1])
    if stop > start:
        frame[40 : 40 + thing.shape[0], start:stop] = thing[:, start - left : stop - left]
    return frame, still


def moving(photo: np.ndarray, thing: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A small object crosses the right half; the left 96 columns are far from it."""
    return with_object(photo, thing[:48, :48], 192 + 2 * round(32 * share))


def entering(photo: np.ndarray, thing: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A large bright one comes in from the right until it covers a third."""
    bright = np.clip(thing[:120, :160] * 0.5 + 128, 0, 255)
    return with_object(photo, bright, SIZE[1] - 2 * round(64 * share))


def pan(photo: np.ndarray, thing: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    left = 2 * round(share * (photo.shape[1] - SIZE[1]) / 2)
    return photo[: SIZE[0], left : left + SIZE[1]], np.zeros(SIZE, bool)


def scene(kind: Scene, photo: np.ndarray, thing: np.ndarray, noise: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.stack([kind(photo, thing, i / (count - 1))[0] for i in range(count)]).astype(np.uint8)
    half = np.stack([imresize(frame, (SIZE[0] // 2, SIZE[1] // 2)) for frame in truth])
    return truth, (half + rng.normal(0, noise, half.shape)).clip(0, 255).astype(np.float32)


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
    parser.add_argument("--frames", type=int, default=16)
    given = parser.parse_args()
    photo, thing = (np.asarray(read_picture(path).pixels)[..., :3] for path in (given.photo, given.object))
    print("| model | scene | noise | still pixels: own | shot | all | changes, RMS | largest | PSNR own | shot |")
    print("|---|" + "---|" * 9)
    for name in given.models:
        upscaler = Upscaler(name, precision="float32")
        for kind in (moving, entering, pan):
            for noise in (0.0, 3.0):
                truth, film = scene(kind, photo, thing, noise, given.frames)
                made = render(upscaler, film)
                # Nothing local reaches the left 96 columns, so that what changes there comes from the means.
                still = {key: float(value[:, :, :96].std(0).mean()) for key, value in made.items()}
                change = made["own"] - made["shot"]
                steps = np.diff(change, axis=0)
                columns = [f"{still[key]:.4f}" if kind is not pan else "" for key in ("own", "shot", "all")]
                columns += [f"{np.sqrt((steps**2).mean()):.4f}", f"{np.abs(change).max():.2f}"]
                columns += [f"{psnr(made[key], truth):.3f}" for key in ("own", "shot")]
                print(f"| {name} | {kind.__name__} | {noise:g} | " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    main()
