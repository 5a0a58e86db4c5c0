"""Threads that each take whole pieces: the same numbers, in a fixed order, and no operation that threads share."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from esc_plugin.network import ESC
from esc_plugin.train.crew import Crew, mean_loss
from esc_plugin.train.held_out import HeldOut
from esc_plugin.train.images import open_images
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.run import train
from esc_plugin.train.training import Training

from .small import nearest_upscaler, noise_photos
from .test_train import tiny, weights_of


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return noise_photos(tmp_path / "photos", (64, 64))


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("esc_plugin.device.cores", lambda: 3)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("samples", [1, 2, 7])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_loss_and_its_gradients_are_those_of_the_whole_batch(samples: int, precision: torch.dtype) -> None:
    layer = torch.nn.Conv2d(3, 4, 3)
    unused = torch.nn.Parameter(torch.ones(2))
    batch = torch.rand(samples, 3, 9, 9), torch.rand(samples, 4, 7, 7)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (layer(x) - y).square().mean()

    found = []
    for size in (1, 3):
        layer.zero_grad()
        with Crew(size) as crew, torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            total = 2 * mean_loss(crew, loss, batch, [*layer.parameters(), unused])
        total.backward()
        found.append([total.detach(), *(p.grad.clone() for p in layer.parameters())])
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if precision == torch.bfloat16 else {}
    for one, many in zip(*found, strict=True):
        torch.testing.assert_close(many, one, **tolerance)


def test_who_is_done_first_changes_no_bit(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, random_source = Training._loss, random.Random(0)
    seen: set[tuple[str, int]] = set()

    def late(*arguments: object) -> torch.Tensor:
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        time.sleep(0.02 * random_source.random())
        return step(*arguments)

    monkeypatch.setattr(Training, "_loss", late)
    first, second = (weights_of(train(tiny(photos, iterations=4), tmp_path / name).parent) for name in ("one", "two"))
    assert all(torch.equal(second[name], value) for name, value in first.items())
    # Several threads at work, none of which shares an operation with others.
    assert len({name for name, _ in seen}) > 1
    assert {threads for _, threads in seen} == {1}


def test_what_is_divided_by_torch_is_left_all_threads() -> None:
    with Crew(3) as crew:
        assert (torch.get_num_threads(), crew.parts) == (1, 3)
        with crew.resting():
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), crew.parts) == (3, 1)
    with Crew(1) as crew:
        assert (torch.get_num_threads(), crew.parts) == (3, 1)


def test_an_error_of_a_thread_is_that_of_the_caller() -> None:
    def fail(number: int) -> int:
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"), Crew(3) as crew:
        crew.map(fail, range(3))
    assert torch.get_num_threads() == 3


def test_held_out_crops_are_measured_by_all_threads(photos: Path, tmp_path: Path, monkeypatch) -> None:
    images = open_images(sorted(photos.iterdir()), tmp_path / "cache", 1)
    network = nearest_upscaler().model.network
    upscaled = HeldOut._upscaled
    seen = set()

    def noted(held_out: HeldOut, network: ESC, *pair: torch.Tensor) -> torch.Tensor:
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        time.sleep(0.01)
        return upscaled(held_out, network, *pair)

    monkeypatch.setattr(HeldOut, "_upscaled", noted)
    held_out = HeldOut(images, make_maker("bicubic", 2, 16, {}), torch.device("cpu"))
    told: list[float] = []
    found = held_out.measure(network, tell=lambda done, total: told.append(done))
    assert len(seen) > 1
    assert {threads for _, threads in seen} == {1}
    assert told == [3, 6, 8]
    held_out.threads = 1
    assert held_out.measure(network) == found
    held_out.threads = 3
    assert held_out.measure(network, seconds=0) == found[:3]
