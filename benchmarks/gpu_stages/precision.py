"""What a shorter precision costs a model on this device: the evidence behind `harmless` in manifest.yaml."""

from __future__ import annotations

import statistics

import numpy as np
import torch

from esc_plugin.arrays.bicubic import imresize
from esc_plugin.measure.scores import luma, psnr
from esc_plugin.upscaler import Upscaler

from .bench import Bench, stage
from .exact import tf32
from .networks import bundled_models, pictures, upscaler


@stage("precision: dB lost and levels of 255 at the 99.9th percentile, against float32 without TF32", 60)
def precision(bench: Bench) -> None:
    images = pictures(bench)
    for model in bundled_models()[: 1 if bench.tiny else None]:
        users = {name: upscaler(bench, model, name) for name in ("float32", "bfloat16", "float16")}
        lost: dict[str, list[float]] = {}
        levels: dict[str, list[float]] = {}
        scores: list[float] = []
        for _, picture in images:
            if bench.left() < 0:
                break
            truth, size = _cut(picture, model.scale)
            small = imresize(truth, size)
            with tf32(on=False):
                full = _result(bench, users["float32"], small)
            scores.append(_score(full, truth, model.scale))
            for label, user in (("float32 tf32", users["float32"]), *list(users.items())[1:]):
                with tf32(on="tf32" in label):
                    found = _result(bench, user, small)
                lost.setdefault(label, []).append(scores[-1] - _score(found, truth, model.scale))
                levels.setdefault(label, []).append(float(np.percentile(np.abs(found - full), 99.9)))
        for label, values in lost.items():
            worst, mean = max(levels[label]), statistics.fmean(values)
            bench.add(
                model=model.name,
                precision=label,
                images=len(values),
                psnr=statistics.fmean(scores),
                lost_db=mean,
                worst_lost_db=max(values),
                levels=worst,
                harmless=mean < 0.01 and worst < 1,
                overflowed=users.get(label, users["float32"])._overflows,
            )


def _cut(picture: np.ndarray, scale: int) -> tuple[np.ndarray, tuple[int, int]]:
    height, width = (n // scale for n in picture.shape[:2])
    return picture[: height * scale, : width * scale], (height, width)


def _result(bench: Bench, user: Upscaler, image: np.ndarray) -> np.ndarray:
    """Return the result in levels, not rounded."""
    batch = torch.from_numpy(image).to(bench.device).permute(2, 0, 1)[None].float() / 255
    return user.run(batch)[0].permute(1, 2, 0).clamp(0, 1).cpu().numpy() * 255


def _score(result: np.ndarray, truth: np.ndarray, scale: int) -> float:
    shave = slice(scale, -scale)
    values = (luma(np.rint(x).astype(np.uint8))[shave, shave] for x in (result, truth))
    return psnr(*values)
