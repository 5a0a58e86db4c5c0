"""Many processes make the survey and the picture that one makes, to the bit."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from esc_plugin import Model, Upscaler
from esc_plugin.cluster.exact import Group, run_exact
from esc_plugin.cluster.journal import JournalFile
from esc_plugin.device import limited_threads
from esc_plugin.engine import Run
from esc_plugin.errors import Cancelled, EscError
from esc_plugin.network import ESC
from esc_plugin.network.grid import Region
from esc_plugin.survey import Survey
from esc_plugin.weights.model import read_model

from .golden import Golden, golden_cases
from .groups import Meeting, in_threads
from .small import small_config
from .systems import needs_signals


@functools.cache
def small_model(blocks: int = 1) -> Model:
    """Return a network whose convolutions take one algorithm for all sizes."""
    torch.manual_seed(1)
    return as_model(ESC(replace(small_config(), kernel_size=7, conv_blocks=blocks)).eval())


def as_model(network: nn.Module) -> Model:
    return Model(network, network.config, "random", "test", "")


def small_upscaler() -> Upscaler:
    return Upscaler(small_model(), device="cpu")


def values(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


OURS = ("journal", "finished", "cancel")


def together(
    count: int, make: Callable[[], Upscaler], image: Any, meeting: Meeting | None = None, rows: int = 1, **options: Any
) -> tuple[list[Any], np.ndarray]:
    """Let threads make a picture; return their surveys, or errors, and the picture."""
    ours = {name: options.pop(name) for name in OURS if name in options}
    request = make().request(image, **options)
    out = np.zeros(request.layout.resized(*request.target), request.dtype)
    made = np.zeros(out.shape, int)

    def write(index: Any, region: Region, block: np.ndarray) -> None:
        assert region.top % rows == 0
        here = list(index)
        here[request.axes.index("Y")], here[request.axes.index("X")] = region.slices
        out[tuple(here)] = block
        made[tuple(here)] += 1

    def work(group: Group) -> Survey:
        return run_exact(make(), image, request, group, write=write, rows=rows, **ours)

    found = in_threads(count, work, meeting)
    if "finished" not in ours and all(isinstance(each, Survey) for each in found):
        assert (made == 1).all()
    return found, out


def same(found: list[Any], expected: Survey) -> None:
    for each in found:
        assert isinstance(each, Survey), each
        assert each.to_json() == expected.to_json()


@pytest.mark.slow
@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_bands_of_every_family_are_the_whole(shared, case: Golden) -> None:
    model = read_model(case.path, window_size=case.window_size)
    image = values((110, 37, 3))
    options = {"intensity": "range", "size": (181, 74)} if model.any_scale else {"intensity": "range"}
    whole = Upscaler(model, device="cpu")
    survey, expected = whole.survey(image, **options), whole(image, **options)
    found, out = together(3, lambda: Upscaler(model, device="cpu"), image, **options)
    assert np.abs(out - expected).max() / expected.std() < 5e-5
    for each in found:
        (one,), (other,) = each.planes[0].colours, survey.planes[0].colours
        assert np.abs(one.means - other.means).max() < 1e-5


def transparent(shape: tuple[int, int]) -> np.ndarray:
    image = (values((*shape, 4)) * 255).astype(np.uint8)
    image[: shape[0] // 3, ..., 3] = 255  # the first band doesn't know that others aren't opaque
    return image


def with_gaps(shape: tuple[int, ...]) -> np.ndarray:
    image = values(shape) * 100
    image[..., 3, 4], image[..., -1, 2] = np.nan, np.inf
    return image


def opaque(shape: tuple[int, int]) -> np.ndarray:
    image = transparent(shape)
    image[..., 3] = 255
    return image


CASES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "gray": (values((70, 23)), {}),
    "16 bits, levels measured": ((values((70, 23)) * 5000).astype(np.uint16), {}),
    "transparent": (transparent((60, 21)), {}),
    "transparent, by the filter": (transparent((60, 21)), {"alpha": "lanczos"}),
    "opaque": (opaque((60, 21)), {}),
    "floating transparency": (transparent((60, 21)) / np.float32(255), {}),
    "NaN": (with_gaps((61, 22)), {"nan": "keep"}),
    "two runs": (values((50, 20, 3)), {"scale": 4}),
    "a filter at the end": (values((50, 20, 3)), {"scale": 3}),
    "a filter in linear light": (values((50, 20, 3)), {"scale": 1.7, "linear_light": True}),
    "a filter that enlarges": (values((50, 20, 3)), {"scale": 2.2}),
    "cleaned": (values((50, 20, 3)), {"scale": 1, "passes": 1}),
    "only a filter": (values((50, 20, 3)), {"scale": 0.6}),
    "consistency": ((values((50, 20)) * 255).astype(np.uint8), {"consistency": True}),
    "a stack": (values((2, 3, 40, 20)), {"axes": "TCYX"}),
    "axes in another order": (values((3, 20, 2, 40)), {"axes": "SXTY"}),
    "few rows": (values((2, 30)), {}),
}


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("name", CASES)
def test_bands_are_the_whole_whatever_is_asked_for(name: str, count: int) -> None:
    image, options = CASES[name]
    whole = small_upscaler()
    survey, expected = whole.survey(image, **options), whole(image, **options)
    found, out = together(count, small_upscaler, image, **options)
    same(found, survey)
    np.testing.assert_array_equal(out, expected)
    only = in_threads(count, lambda group: run_exact(small_upscaler(), image, survey.request, group))
    same(only, survey)


def test_one_process_is_a_group_too() -> None:
    image = values((30, 20))
    found, out = together(1, small_upscaler, image)
    same(found, small_upscaler().survey(image))
    np.testing.assert_array_equal(out, small_upscaler()(image))


@pytest.mark.parametrize("count", [2, 5, 7])
def test_bands_are_whole_shards(count: int) -> None:
    image = values((70, 20))
    found, out = together(count, small_upscaler, image, rows=32)
    same(found, small_upscaler().survey(image))
    np.testing.assert_array_equal(out, small_upscaler()(image))


def loudest(network: nn.Module, part: nn.Module, image: np.ndarray, scale: int) -> float:
    """Return how large the values are that a part of a network gives at most, in its last run."""
    seen: list[float] = []
    hook = part.register_forward_hook(lambda *about: seen.append(float(about[-1].abs().max())))
    with limited_threads(1):  # with a chunk for each thread, the last call would see a part only
        Upscaler(as_model(network), device="cpu")(image, scale=scale, intensity="range")
    hook.remove()
    return seen[-1]


def spot(shape: tuple[int, int]) -> np.ndarray:
    """Return an image in which only one band has something to see."""
    image = np.zeros(shape, np.float32)
    image[3:7, 4:9] = values((4, 5))
    return image


@pytest.mark.parametrize("write", [True, False], ids=["picture", "survey only"])
def test_all_leave_a_precision_that_overflows_in_one_band(write: bool) -> None:
    torch.manual_seed(1)
    network = ESC(replace(small_config(), kernel_size=7)).eval().requires_grad_(False)
    image = spot((60, 20))
    network.last.bias.zero_()
    network.last.weight.mul_(1.02 * 65504 / loudest(network, network.last, image, 2))
    model = as_model(network)
    expected = Upscaler(model, device="cpu", precision="float32")
    survey = expected.survey(image, intensity="range")

    def make() -> Upscaler:
        return Upscaler(model, device="cpu", precision="float16")

    # Below the spot nothing overflows.
    assert make().survey(image[30:], intensity="range").planes[0].colours[0].precision == "float16"
    if write:
        found, out = together(3, make, image, intensity="range")
        np.testing.assert_array_equal(out, expected(image, intensity="range"))
    else:
        found = in_threads(3, lambda group: run_exact(make(), image, survey.request, group))
    same(found, survey)


@pytest.mark.parametrize(("scale", "precision"), [(2, "float32"), (2, "bfloat16"), (4, "float32")])
def test_one_band_looks_farther_as_its_data_says(scale: int, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It walks again, and in the second run needs more of the first; the others don't, and aren't asked again."""
    torch.manual_seed(1)
    config = replace(small_config(head="dysample"), dysample_kernel=1, kernel_size=7)
    network = ESC(config).eval().requires_grad_(False)
    image, options = spot((90, 20)), {"scale": scale, "intensity": "range"}
    sampler = network.to_img.get_submodule("0")
    sampler.scope.weight.zero_()
    largest = loudest(network, sampler.offset, image, scale)
    for parameter in sampler.offset.parameters():
        parameter.mul_((4.0 if scale == 2 else 4.8) / largest)
    model, walks, walked = as_model(network), [], Run._walked

    def make() -> Upscaler:
        return Upscaler(model, device="cpu", precision=precision)

    def counted(run: Run) -> bool:
        walks.append(walked(run))
        return walks[-1]

    survey, expected = make().survey(image, **options), make()(image, **options)
    monkeypatch.setattr(Run, "_walked", counted)
    with limited_threads(1):  # of the chunks of two threads, that with the spot wouldn't look beyond the band
        found, out = together(3, make, image, **options)
    assert not all(walks)
    assert walks.count(False) % 3
    same(found, found[0])
    for one, other in zip(found[0].planes[0].colours, survey.planes[0].colours, strict=True):
        np.testing.assert_allclose(one.means, other.means, atol=1e-5)
    if precision == "float32":
        np.testing.assert_allclose(out, expected, atol=1e-5)


class Chunked:
    """An array that is read by index alone, and remembers which rows were; some can't be."""

    def __init__(self, array: np.ndarray, broken: int | None = None) -> None:
        self.array, self.broken, self.shape, self.dtype = array, broken, array.shape, array.dtype
        self.rows: list[tuple[int, int]] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        top, bottom, _ = index[0].indices(self.shape[0])
        self.rows.append((top, bottom))
        if self.broken is not None and top <= self.broken < bottom:
            raise OSError(5, "chunk 7 can't be read")
        return self.array[index]


def test_a_process_reads_and_keeps_its_band_and_what_that_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    array = values((400, 30))
    images = [Chunked(array) for _ in range(4)]
    request = small_upscaler().request(images[0], intensity="range")
    maps: list[int] = []
    monkeypatch.setattr(Run, "_make_map", keeping(Run._make_map, maps))

    def work(group: Group) -> Survey:
        return run_exact(small_upscaler(), images[group.rank], request, group, write=lambda *_: None)

    # Rank 0 also checks that all values are finite.
    found = in_threads(4, work)
    same(found, found[0])
    reach = 2 * 8 + 8  # of this network, up to whole windows
    for rank, image in enumerate(images[1:], 1):
        large = [(top, bottom) for top, bottom in image.rows if bottom - top > 16]  # but for the digest
        assert large
        assert min(top for top, _ in large) >= 100 * rank - reach
        assert max(bottom for _, bottom in large) <= 100 * (rank + 1) + reach
    assert max(maps) <= 100 + 2 * reach


def keeping(make_map: Any, heights: list[int]) -> Any:
    def made(run: Run, name: str, shape: tuple[int, ...]) -> Any:
        heights.append(shape[1])
        return make_map(run, name, shape)

    return made


def test_processes_of_one_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[int | None] = []
    stream = Upscaler.stream

    def noted(upscaler: Upscaler, *arguments: Any, **options: Any) -> Any:
        limits.append(upscaler.memory_limit)
        return stream(upscaler, *arguments, **options)

    monkeypatch.setattr(Upscaler, "stream", noted)
    monkeypatch.setattr("esc_plugin.cluster.exact.free_bytes", lambda device: 10 * 2**30)
    together(2, small_upscaler, values((20, 20)))
    assert limits == [4 * 2**30] * 2


def failing(error: BaseException, after: int) -> Callable[[], bool]:
    """Return what raises an error when it is asked for the next time after some."""
    asked = iter(range(after))

    def cancel() -> bool:
        if next(asked, None) is None:
            raise error
        return False

    return cancel


def stopping(error: BaseException, rank: int, image: np.ndarray, after: int = 0) -> list[Any]:
    """Let a process fail while it works; return what each of three ends with, in each of two pictures."""
    request = small_upscaler().request(image)

    def work(group: Group) -> list[Any]:
        ended: list[Any] = []
        for turn in range(2):
            cancel = failing(error, after) if turn == 0 and group.rank == rank else None
            try:
                ended.append(run_exact(small_upscaler(), image, request, group, cancel=cancel))
            except BaseException as failure:
                ended.append(failure)
        return ended

    return in_threads(3, work)


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (EscError("chunk 7 is broken."), EscError, "rank 2 of 3: chunk 7 is broken."),
        (OSError(5, "no\nchunk"), EscError, "rank 2 of 3 failed: OSError: [Errno 5] no chunk"),
        (MemoryError(), EscError, "rank 2 of 3 failed: MemoryError"),
        (Cancelled("cancelled."), Cancelled, "rank 2 of 3: cancelled."),
        (KeyboardInterrupt(), Cancelled, "rank 2 of 3: cancelled."),
        (SystemExit(143), Cancelled, "rank 2 of 3: cancelled."),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("after", [0, 4])
def test_what_stops_one_stops_all_in_one_line(error: BaseException, kind: type, line: str, after: int) -> None:
    image = values((60, 20))
    ended = stopping(error, 2, image, after)
    for first, _ in ended[:2]:
        assert type(first) is kind
        assert str(first) == line
    mine = ended[2][0]
    assert mine is error or str(mine) == line
    # The next picture goes well.
    same([second for _, second in ended], small_upscaler().survey(image))


def test_a_chunk_that_one_cannot_read_stops_all() -> None:
    image = values((100, 20))
    request = small_upscaler().request(image, intensity="range")

    def work(group: Group) -> Survey:
        own = Chunked(image, broken=70 if group.rank == 2 else None)
        return run_exact(small_upscaler(), own, request, group)

    for error in in_threads(3, work):
        assert isinstance(error, EscError)
        assert str(error) == "rank 2 of 3 failed: OSError: [Errno 5] chunk 7 can't be read"


def test_a_result_that_one_cannot_write_stops_all() -> None:
    image = values((60, 20))
    request = small_upscaler().request(image)

    def work(group: Group) -> Survey:
        def write(*_: Any) -> None:
            if group.rank == 0:
                raise OSError(28, "No space left on device")

        return run_exact(small_upscaler(), image, request, group, write=write)

    for error in in_threads(2, work):
        assert str(error) == "rank 0 of 2 failed: OSError: [Errno 28] No space left on device"


@pytest.mark.parametrize("what", ["image", "scale", "precision"])
def test_processes_that_are_asked_for_different_things_say_so(what: str) -> None:
    image = values((40, 20))

    def work(group: Group) -> Survey:
        other = group.rank == 1
        upscaler = Upscaler(
            small_model(), device="cpu", precision="bfloat16" if other and what == "precision" else "float32"
        )
        own = image + 1 if other and what == "image" else image
        request = upscaler.request(own, scale=4 if other and what == "scale" else 2)
        return run_exact(upscaler, own, request, group)

    name = "target" if what == "scale" else what
    for error in in_threads(3, work):
        assert isinstance(error, EscError)
        assert f"rank 1 has the {name} " in str(error)


def deep_upscaler() -> Upscaler:
    return Upscaler(small_model(3), device="cpu")


@pytest.mark.parametrize("name", ["two runs", "transparent", "NaN", "a stack"])
def test_a_journal_spares_what_is_known_whoever_goes_on(name: str, tmp_path: Path) -> None:
    image, options = CASES[name]
    survey, expected = deep_upscaler().survey(image, **options), deep_upscaler()(image, **options)
    path, fresh, before = tmp_path / "journal", Meeting(3), 0
    together(3, deep_upscaler, image, fresh, **options)
    for count, sums in ((3, 1), (1, 0), (2, 2)):
        found, _ = until(sums, count, image, path, **options)
        assert not any(isinstance(each, Survey) for each in found)
        before += sums
        with path.open("a") as file:
            file.write('{"sum":{"shape":[2,' * (count % 2))  # torn
    meeting = Meeting(5)
    found, out = together(5, deep_upscaler, image, meeting, journal=path, **options)
    same(found, survey)
    np.testing.assert_array_equal(out, expected)
    assert not path.exists()
    assert meeting.sums == fresh.sums - before


def until(sums: int, count: int, image: np.ndarray, path: Path, **options: Any) -> tuple[list[Any], np.ndarray]:
    """Let processes work until their journal has got some sums more, and end then."""
    left, written = iter(range(sums)), JournalFile.add_sum

    def add_sum(file: JournalFile, total: torch.Tensor) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        written(file, total)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalFile, "add_sum", add_sum)
        return together(count, deep_upscaler, image, journal=path, **options)


def test_planes_that_are_known_and_written_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, options = CASES["a stack"]
    survey, expected = deep_upscaler().survey(image, **options), deep_upscaler()(image, **options)
    path, made = tmp_path / "journal", []
    _, first = until(3 * 4 + 1, 2, image, path, **options)  # four planes and a bit
    execute = Run.execute
    monkeypatch.setattr(Run, "execute", lambda run: made.append(execute(run)))
    done = [(0, 0), (0, 1), (0, 2)]
    found, out = together(2, deep_upscaler, image, journal=path, finished=lambda index, region: index[:2] in done, **options)
    same(found, survey)
    np.testing.assert_array_equal(np.concatenate([first[:1], out[1:]]), expected)
    assert len(made) == 2 * 3
    # For a survey alone, nothing of what is known is made again.
    until(3 * 4 + 1, 2, image, path, **options)
    made.clear()
    request = deep_upscaler().request(image, **options)
    same(in_threads(2, lambda group: run_exact(deep_upscaler(), image, request, group, journal=path)), survey)
    assert len(made) == 2 * 2


def test_a_journal_remembers_an_overflow(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = ESC(replace(small_config(), kernel_size=7)).eval().requires_grad_(False)
    image = np.stack([spot((60, 20)), spot((60, 20))[::-1] / 2])
    network.last.bias.zero_()
    network.last.weight.mul_(1.02 * 65504 / loudest(network, network.last, image[0], 2))
    model, path = as_model(network), tmp_path / "journal"

    def make() -> Upscaler:
        return Upscaler(model, device="cpu", precision="float16")

    survey, expected = make().survey(image, intensity="range"), make()(image, intensity="range")
    assert {plane.colours[0].precision for plane in survey.planes} == {"float32"}
    added = JournalFile.add_plane

    def add_plane(file: JournalFile, plane: Any) -> None:
        added(file, plane)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JournalFile, "add_plane", add_plane)
        together(2, make, image, journal=path, intensity="range")
    found, out = together(3, make, image, journal=path, intensity="range")
    same(found, survey)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("what", ["image", "options", "model", "precision", "network", "text", "line", "folder"])
def test_a_journal_of_other_work_is_refused_and_kept(what: str, tmp_path: Path) -> None:
    image, path = values((40, 20)), tmp_path / "journal"
    until(1, 2, image, path)
    options: dict[str, Any] = {"scale": 3} if what == "options" else {}
    model = small_model(3)
    if what == "model":
        model = replace(model, sha256="another")
    if what == "network":
        model = small_model(2)
    if what == "text":
        path.write_text("a shopping list\n")
    if what == "line":
        path.write_text(path.read_text() + '{"sum":{"shape":[2],"float64":"?"}}\n')
    if what == "folder":
        path.unlink()
        path.mkdir()
    before = None if what == "folder" else path.read_text()
    precision = "bfloat16" if what == "precision" else "float32"
    found, _ = together(
        2, lambda: Upscaler(model, device="cpu", precision=precision), image + (what == "image"), journal=path, **options
    )
    for each in found:
        assert isinstance(each, EscError)
        assert repr(str(path)) in str(each)
        assert "\n" not in str(each)
    assert before is None or path.read_text() == before


def _one_digit(lines: list[str]) -> list[str]:
    number = json.loads(lines[2])["sum"]["float64"]
    return [*lines[:2], lines[2].replace(number, ("A" if number[0] != "A" else "B") + number[1:]), *lines[3:]]


@pytest.mark.parametrize(
    "damage",
    [
        _one_digit,
        lambda lines: [*lines[:1], *lines[2:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [*lines[:1], lines[2], lines[1]],
        lambda lines: [lines[0].replace('"check"', '"chock"'), *lines[1:]],
    ],
    ids=["changed", "lost", "twice", "swapped", "unsigned"],
)
def test_a_damaged_journal_is_refused_rather_than_another_picture_made(
    damage: Callable[[list[str]], list[str]], tmp_path: Path
) -> None:
    image, path = values((40, 20)), tmp_path / "journal"
    until(2, 1, image, path)
    path.write_text("".join(damage(path.read_text().splitlines(keepends=True))))
    found, _ = together(1, deep_upscaler, image, journal=path)
    assert isinstance(found[0], EscError), found[0]
    assert "it can't be read as 'esc journal'" in str(found[0])


WORKER = Path(__file__).with_name("exact_worker.py")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def processes(count: int, folder: Path, *fates: str, timeout: float = 200) -> list[tuple[int, str]]:
    """Start processes as srun does, each by itself; return the exit code of each, and what it printed."""
    result = folder / "result.npy"
    if not result.exists():
        np.save(result, np.zeros((2, 3, 80, 40), np.float32))
    command = [sys.executable, str(WORKER), str(result), str(folder / "journal"), str(timeout), *fates]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(command, env=os.environ | meeting | {"RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(count)
    ]
    hung = {int(fate.split(":")[0]) for fate in fates if fate.endswith("hang")}
    try:
        for rank, process in enumerate(started):
            if rank not in hung:
                process.wait(300)
        for rank in hung:
            started[rank].kill()
        return [(process.wait(), process.stdout.read().strip()) for process in started if process.stdout]
    finally:
        for process in started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


@functools.cache
def stack_expected() -> tuple[str, np.ndarray]:
    image, options = CASES["a stack"]
    return deep_upscaler().survey(image, **options).digest, deep_upscaler()(image, **options)


@pytest.mark.slow
def test_processes_end_together_when_one_fails(tmp_path: Path) -> None:
    line = "error: rank 1 of 2 failed: OSError: [Errno 5] chunk 7 can't be read"
    assert processes(2, tmp_path, "1:6:raise") == [(1, line)] * 2


@pytest.mark.slow
def test_processes_end_together_when_one_is_interrupted(tmp_path: Path) -> None:
    line = "error: rank 0 of 2: cancelled."
    assert processes(2, tmp_path, "0:6:interrupt") == [(130, "cancelled"), (1, line)]


def assert_waited_in_vain(ended: list[tuple[int, str]], gone: int) -> None:
    for rank, (code, line) in enumerate(ended):
        assert code == (-signal.SIGKILL if rank == gone else 1)
        text = rf"error: rank {rank} of {len(ended)} waits for others in vain: rank {gone} (is gone|was ended).*\)\."
        assert rank == gone or re.fullmatch(text, line), line


@pytest.mark.slow
@needs_signals
def test_nobody_waits_for_a_process_that_hangs(tmp_path: Path) -> None:
    assert_waited_in_vain(processes(2, tmp_path, "1:6:hang", timeout=12), 1)


@pytest.mark.slow
@needs_signals
def test_nobody_waits_for_a_process_that_was_killed_and_the_next_go_on_with_the_journal(tmp_path: Path) -> None:
    """The first of them, at which all meet, after some planes."""
    digest, expected = stack_expected()
    assert_waited_in_vain(processes(3, tmp_path, "0:10:kill"), 0)
    assert processes(2, tmp_path) == [(0, f"survey {digest}")] * 2
    np.testing.assert_array_equal(np.load(tmp_path / "result.npy"), expected)
