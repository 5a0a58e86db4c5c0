"""How many threads may be used: those that are asked for, within what control groups and jobs give this process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from esc_plugin import Upscaler, device, upscale
from esc_plugin.device import cores, limited_threads, usable_threads
from esc_plugin.engine.run import Run
from esc_plugin.errors import EscError
from esc_plugin.mixture import Mixture

from .commands import inside_the_test
from .small import random_upscaler

V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)


def process(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("5000 100000\n", 1), ("max 100000\n", 64), ("nonsense", 64), ("", 64)],
)
def test_a_control_group_gives_time_of_some_cores(tmp_path: Path, quota: str, expected: int) -> None:
    process(tmp_path, "0::/pod/box\n", V2, {"sys/fs/cgroup/pod/box/cpu.max": quota})
    assert cores(tmp_path) == expected


def test_the_least_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/pod/box/cpu.max": "800000 100000", "sys/fs/cgroup/pod/cpu.max": "300000 100000"}
    assert cores(process(tmp_path, "0::/pod/box\n", V2, files)) == 3


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", 64)])
def test_version_one(tmp_path: Path, quota: str, expected: int) -> None:
    folder = "sys/fs/cgroup/cpu/job"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    assert cores(process(tmp_path, "4:memory:/other\n3:cpu,cpuacct:/job\n", V1, files)) == expected


@pytest.mark.parametrize(("given", "expected"), [("8", 8), ("0", 64), ("many", 64), ("100", 64)])
def test_a_job_gives_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: int) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
    assert cores(tmp_path) == expected


def test_threads_beyond_the_cores_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        for there, limit, expected in ((64, 0, 5), (64, 3, 3), (64, 9, 5), (2, 0, 2), (2, 4, 2), (2, 1, 1)):
            monkeypatch.setattr(device, "cores", lambda there=there: there)
            with limited_threads(limit):
                assert torch.get_num_threads() == usable_threads() == expected
            assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("count", [-3, 1.5, "2", True, None])
def test_a_limit_is_a_whole_number(count: object) -> None:
    with pytest.raises(EscError, match="threads must be 0, for all cores, or how many"), limited_threads(count):  # type: ignore[arg-type]
        pass


# ------------------------------------------------------------------ the doors

run = pytest.fixture(inside_the_test)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Return how many of four threads were used at most, since the last call, by chunks of work."""
    at_work, most, lock = [0], [0], threading.Lock()
    make, threads = Run._make, torch.get_num_threads()

    def count(change: int) -> None:
        with lock:
            at_work[0] += change
            most[0] = max(most[0], at_work[0])

    def watched(*args: Any) -> Any:
        own = torch.get_num_threads()
        count(own)
        try:
            time.sleep(0.002)  # so that others can begin
            return make(*args)
        finally:
            count(-own)

    def latest() -> int:
        found, most[0] = most[0], 0
        return found

    monkeypatch.setattr(Run, "_make", watched)
    monkeypatch.setattr(device, "cores", lambda: 4)
    torch.set_num_threads(4)
    yield latest
    torch.set_num_threads(threads)


def test_every_call_keeps_the_limit_and_makes_the_same(used: Callable[[], int]) -> None:
    pytest.importorskip("dask")
    image = np.random.default_rng(0).integers(0, 255, (120, 100, 3), np.uint8)
    expected = (plain := random_upscaler())(image)
    assert used() > 2
    batch = torch.rand(1, 3, 120, 100)
    for count in (1, 2):
        upscaler = Upscaler(plain.model, device="cpu", threads=count)
        np.testing.assert_array_equal(upscaler(image), expected)
        assert used() <= count
        np.testing.assert_array_equal(upscale(image, plain.model, device="cpu", threads=count), expected)
        assert used() <= count
        assert torch.equal(upscaler.run(batch), plain.with_memory_limit(None).run(batch))
        used()
        survey = upscaler.survey(image)
        assert used() <= count
        np.testing.assert_array_equal(upscaler(image, survey=survey, region=((9, 99), (20, 80))), expected[9:99, 20:80])
        assert used() <= count
        np.testing.assert_array_equal(upscaler.lazy(image, survey=survey, chunks=100).compute(), expected)
        assert used() <= count
        Mixture(upscaler, upscaler)(image)
        assert used() <= count
        assert torch.get_num_threads() == 4


def test_a_thread_that_had_fewer_does_not_decide_for_all(used: Callable[[], int]) -> None:
    pytest.importorskip("dask")
    image = np.random.default_rng(0).integers(0, 255, (120, 100, 3), np.uint8)
    upscaler = Upscaler(random_upscaler().model, device="cpu", threads=3)
    lazy = upscaler.lazy(image, survey=upscaler.survey(image), chunks=60)
    torch.set_num_threads(1)
    lazy[:10, :10].compute(scheduler="synchronous")
    torch.set_num_threads(4)
    used()
    lazy.compute(scheduler="threads", num_workers=3)
    assert used() <= 3


def test_the_bits_of_a_real_model_do_not_depend_on_threads(used: Callable[[], int]) -> None:
    image = np.random.default_rng(0).random((96, 110, 3), np.float32)
    results = [Upscaler("esc-nano-x2", device="cpu", threads=count)(image, intensity="range") for count in (1, 2, 3, 4)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("command", ["upscale", "film", "survey", "compare", "evaluate"])
def test_every_command_keeps_the_limit(
    command: str, run: Callable[..., str], used: Callable[[], int], tmp_path: Path
) -> None:
    photo = tmp_path / "in" / "photo.png"
    photo.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(photo)
    words: dict[str, list[object]] = {
        "upscale": ["upscale", photo, "-o", tmp_path / "out.png"],
        "survey": ["survey", photo, "-o", tmp_path / "survey.json"],
        "compare": ["compare", photo, "-o", tmp_path / "out.png"],
        "evaluate": ["evaluate", photo.parent],
    }
    if command == "film":
        from .films import make_film, picture

        words["film"] = ["upscale", make_film(tmp_path / "film.mkv", [picture()]), "-o", tmp_path / "out.mkv"]
    if command == "evaluate":
        pytest.importorskip("skimage")
        words["evaluate"].insert(1, "esc-nano-x2")
    else:
        words[command] += ["-m", "esc-nano-x2"]
    run(*words[command], "--threads", 2)
    assert used() <= 2
    assert "--threads must be from 0" in run(*words[command], "--threads", -1, code=1)


def test_the_loader_node_says_how_many(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running.start()
    seen: list[int] = []
    pack = running.inside("esc_plugin.engine.run").Run
    make, threads, image = pack._make, torch.get_num_threads(), torch.rand(1, 60, 60, 3)
    monkeypatch.setattr(running.inside("esc_plugin.device"), "cores", lambda: 8)
    monkeypatch.setattr(pack, "_make", lambda *args: (seen.append(args[0].plan.workers), make(*args))[1])
    torch.set_num_threads(8)
    try:
        for given, expected in (({"threads": 1}, 1), ({"threads": 3}, 3), ({}, 8)):
            model = running.run("ESC_LoadModel", model="esc-nano-x2", hub_id="", **given)
            running.run("ESC_UpscaleImage", upscale_model=model, image=image)
            assert set(seen) == {expected}
            seen.clear()
    finally:
        torch.set_num_threads(threads)
