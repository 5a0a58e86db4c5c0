"""How long a run will take."""

from __future__ import annotations

import numpy as np
import pytest

from esc_plugin import Upscaler
from esc_plugin.measure import duration
from esc_plugin.measure.duration import Speed, work


def test_a_speed_is_measured_once_and_then_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, image = Upscaler("esc-nano-x2", device="cpu"), np.zeros((64, 64), np.uint16)
    measured: list[int] = []

    def measure(of: Upscaler, bits: int) -> float:
        measured.append(bits)
        return 1000.0

    monkeypatch.setattr(duration, "measure_rate", measure)
    speed, size, target = Speed(), (64, 64), (128, 128)
    done = work(upscaler, size, target)
    for _ in range(2):
        assert speed.seconds(upscaler, image, size, target) == done / 1000
    assert measured == [16]
    speed.learn(upscaler, image, size, target, planes=3, seconds=0.5)  # too short to tell
    assert speed.seconds(upscaler, image, size, target) == done / 1000
    speed.learn(upscaler, image, size, target, planes=3, seconds=6.0)
    assert speed.seconds(upscaler, image, size, target) == pytest.approx(2.0)
    assert measured == [16]


def test_a_speed_is_one_of_a_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, speed = Upscaler("esc-nano-x2", device="cpu"), Speed()
    rates = iter([10.0, 20.0])
    monkeypatch.setattr(duration, "measure_rate", lambda *_: next(rates))
    precisions = {"float32": np.uint16, upscaler.precision_for(np.zeros(1, np.uint8)): np.uint8}
    for dtype in precisions.values():
        speed.seconds(upscaler, np.zeros((8, 8), dtype), (8, 8), (16, 16))
    assert set(speed.rates) == set(precisions)
