"""Rendering jobs: whoever does them, and whoever dies meanwhile, the result is the same and no block is made twice."""

from __future__ import annotations

import gc
import io
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from esc_plugin import Cancelled, EscError, ImageError, Upscaler
from esc_plugin.cluster import crew as crew_module
from esc_plugin.cluster.render import render
from esc_plugin.errors import StoreError
from esc_plugin.survey import Survey

from .folder_store import FolderStore, Square, unless_deadly
from .small import random_upscaler
from .test_region import TO_THE_BIT

distributed = pytest.importorskip("distributed", reason="needs distributed")

ROOT = Path(__file__).parents[1]
Case = tuple[Upscaler, np.ndarray, Survey, np.ndarray]


@pytest.fixture(scope="module")
def case() -> Case:
    """Return an upscaler, an image, its survey and its result."""
    return make_case()


def make_case() -> Case:
    upscaler, image = random_upscaler(), np.random.default_rng(0).integers(0, 256, (150, 130), np.uint8)
    return upscaler, image, upscaler.survey(image), upscaler(image)


def assert_whole(store: FolderStore, whole: np.ndarray) -> None:
    np.testing.assert_allclose(store.whole().astype(int), whole.astype(int), rtol=0, atol=0 if TO_THE_BIT else 1)


def assert_nothing_twice(store: FolderStore) -> None:
    assert max(Counter(block for block, _ in store.log()).values()) == 1
    assert not list(store.folder.glob("*.tmp"))


@dataclass
class FullStore(FolderStore):
    """One that says when nothing more can be written, and whom it said that."""

    def write(self, block: Square, values: np.ndarray) -> None:
        if block.index not in self.full:
            super().write(block, values)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "refused").open("a") as refused:
            refused.write(f"{block.index}\n")
        raise StoreError(f"block {block.index}: the disk is full.")


def workers() -> list[psutil.Process]:
    """Return the processes beside this one that work for it."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just died
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def test_here(case: Case, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store, told = FolderStore(tmp_path, whole.shape), []
    summary = render(upscaler, image, survey, store, progress=lambda done, total: told.append((done, total)))
    assert (summary.rendered, summary.kept, summary.failures, summary.missing) == (25, 0, (), 0)
    assert not summary.finished
    assert told == [(i, 25) for i in range(1, 26)]
    assert_whole(store, whole)
    again = render(upscaler, image, survey, store)
    assert (again.rendered, again.kept) == (0, 25)
    assert_nothing_twice(store)


def test_parts_in_any_order_by_who_knows_nothing_of_others(case: Case, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path, whole.shape)
    summaries = [render(upscaler, image, survey, store, part=(i, 3)) for i in (3, 1, 2)]
    assert [summary.missing for summary in summaries] == [17, 8, 0]
    assert [summary.rendered for summary in summaries] == [8, 9, 8]
    assert_whole(store, whole)
    assert_nothing_twice(store)


@pytest.mark.parametrize(("axes", "shape"), [("ZYXS", (2, 40, 50, 3)), ("SYX", (3, 40, 50)), ("XTYC", (50, 2, 40, 2))])
def test_axes(axes: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    upscaler, image = random_upscaler(), np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    whole, survey = upscaler(image, axes=axes), upscaler.survey(image, axes=axes)
    order = [axes.index(a) for a in sorted(axes, key=lambda a: ("YXS".find(a), axes.index(a)))]
    store = FolderStore(tmp_path, whole.transpose(order).shape, samples="S" in axes)
    assert render(upscaler, image, survey, store).missing == 0
    assert_whole(store, whole.transpose(order))


def test_it_is_finished_when_nothing_is_missing(case: Case, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store, ended = FolderStore(tmp_path, whole.shape, full=(7,)), []

    def finish(each: Any, **_: Any) -> None:
        ended.append(list(each(str, ["a", "b"])))

    assert not render(upscaler, image, survey, store, finish=finish).finished
    assert not ended
    store.full = ()
    assert render(upscaler, image, survey, store, finish=finish).finished
    assert ended == [[None, None]]


def test_an_ome_zarr_that_is_filled_in_parts(case: Case, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    pytest.importorskip("yaozarrs", reason="needs yaozarrs for OME-Zarr's metadata")
    from esc_plugin.files.ome_axes import Axes
    from esc_plugin.files.zarr_store import ShardedImage

    upscaler, image, survey, whole = case
    axes, job = Axes("yx", (1.0,) * 2, (0.0,) * 2, ("pixel",) * 2), {"survey": survey.digest}
    target = tmp_path / "a.ome.zarr"
    store = ShardedImage.create(target, whole.shape, whole.dtype, axes, job=job, shard=128, chunk=64)
    for i in (2, 1, 3):
        render(upscaler, image, survey, ShardedImage.open(target, job), part=(i, 3))
    summary = render(upscaler, image, survey, store, finish=partial(store.finish, "a"))
    assert (summary.rendered, summary.kept, summary.finished) == (0, 9, True)
    made = np.asarray(zarr.open_group(str(target), mode="r")["0"][:])
    np.testing.assert_allclose(made.astype(int), whole.astype(int), rtol=0, atol=0 if TO_THE_BIT else 1)


class Torn(np.ndarray):
    """An image with a place that can't be read."""

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, tuple) or index[0].start is None or not index[0].start <= 5 < index[0].stop:
            return super().__getitem__(index)
        if index[1].start <= 60 < index[1].stop and index[0].stop - index[0].start > 16:
            raise OSError("the share is gone")
        return super().__getitem__(index)


def test_what_fails_is_told_and_the_others_go_on(case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path, whole.shape, full=(12,))
    summary = render(upscaler, image.view(Torn), survey, store)
    assert summary.rendered + len(summary.failures) == 25
    assert summary.missing == len(summary.failures) > 1
    assert "block 12: OSError: [Errno 28] No space left on device" in summary.failures
    assert "block 1: can't read the image: the share is gone." in summary.failures
    assert [record.getMessage() for record in caplog.records] == list(summary.failures)
    store.full = ()
    assert render(upscaler, image, survey, store).missing == 0
    assert_whole(store, whole)
    assert_nothing_twice(store)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_ends_it_and_what_is_done_stays(case: Case, workers: int, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store = FullStore(tmp_path / "store", whole.shape, full=tuple(range(3, 25)))
    with pytest.raises(StoreError, match=r"^block \d+: the disk is full\.$"):
        render(upscaler, image, survey, store, workers=workers)
    if workers == 1:  # several have begun others before anybody hears of it
        assert (tmp_path / "store" / "refused").read_text() == "3\n"
    store.full = ()
    summary = render(upscaler, image, survey, store)
    assert (summary.kept + summary.rendered, summary.missing) == (25, 0)
    assert_whole(store, whole)
    assert_nothing_twice(store)


def test_cancel(case: Case, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path, whole.shape)
    with pytest.raises(Cancelled):
        render(upscaler, image, survey, store, cancel=lambda: len(store.log()) > 2)
    assert len(store.log()) == 3
    render(upscaler, image, survey, store)
    assert_nothing_twice(store)


def test_what_does_not_belong_together(case: Case, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path, whole.shape)
    with pytest.raises(ImageError, match="another image"):
        render(upscaler, image + 1, survey, store)
    with pytest.raises(ImageError, match="ends at row 300, column 258"):
        render(upscaler, image, survey, FolderStore(tmp_path, (300, 258)))
    with pytest.raises(ImageError, match="ends at row"):
        render(upscaler, image, survey, FolderStore(tmp_path, (2, *whole.shape)))
    with pytest.raises(ImageError, match="workers must be 1 or more, not 0"):
        render(upscaler, image, survey, store, workers=0)
    assert not store.log()


@pytest.mark.slow
def test_processes_of_which_some_are_killed(case: Case, tmp_path: Path) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    upscaler, image, survey, whole = case
    store, killed = FolderStore(tmp_path / "store", whole.shape, edge=32), []
    chance = random.Random(0)

    def kill(done: int, _: int) -> None:
        if done in (10, 40) and (there := workers()):
            killed.append(chance.choice(there))
            killed[-1].kill()

    summary = render(upscaler, da.from_array(image, chunks=40), survey, store, workers=2, progress=kill)
    assert (summary.failures, summary.missing) == ((), 0)
    assert len(killed) == 2
    assert_whole(store, whole)
    assert_nothing_twice(store)
    assert not {os.getpid()} & {pid for _, pid in store.log()}
    assert not workers()


@pytest.mark.slow
def test_processes_that_dask_gives_up(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path / "store", whole.shape, edge=32)
    killed: set[int] = set()
    monkeypatch.setattr(crew_module, "LOST", "10 ms")

    def kill_all(done: int, _: int) -> None:
        for worker in workers() if done == 10 else ():
            killed.add(worker.pid)
            worker.kill()

    summary = render(upscaler, image, survey, store, workers=2, progress=kill_all)
    assert (summary.failures, summary.missing) == ((), 0)
    assert len(killed) == 2
    # A worker that was given up but lives may finish its block while another makes it too, which changes nothing.
    assert_whole(store, whole)


@pytest.mark.slow
def test_only_what_kills_workers_itself_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask", reason="needs dask")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    items = ["deadly", *"abcde"]
    # Dask would give up what was there when a worker died.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}), crew_module.crew(2) as hands:
        said = dict(hands(unless_deadly, items))
    assert said == dict.fromkeys("abcde", "") | {"deadly": "1 workers died over it; is there memory for so many?"}
    assert not list(tmp_path.iterdir())  # dask's files are gone with it


@pytest.mark.slow
def test_work_over_which_all_die_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dask = pytest.importorskip("dask", reason="needs dask")
    monkeypatch.setattr(crew_module, "DEATHS", 1)
    settings = {"distributed.scheduler.allowed-failures": 0}
    with dask.config.set(settings), crew_module.crew(2) as hands, pytest.raises(EscError, match="all workers die over"):
        list(hands(unless_deadly, ["deadly"] * 3))


@pytest.mark.slow
def test_nothing_of_the_processes_stays() -> None:
    with crew_module.crew(2) as hands:
        assert list(hands(str, [1])) == [(1, "")]
    del hands
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is distributed.Scheduler]


RUN = """
if __name__ == "__main__":
    import sys
    from pathlib import Path
    from esc_plugin.cluster.render import render
    from tests.folder_store import FolderStore
    from tests.test_render import make_case
    upscaler, image, survey, whole = make_case()
    render(upscaler, image, survey, FolderStore(Path(sys.argv[1]), whole.shape, edge=16), workers=2)
"""


def waits_for(condition: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_a_client_that_is_killed_and_called_again(case: Case, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path / "store", whole.shape, edge=16)
    script = tmp_path / "run.py"
    script.write_text(RUN)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, str(script), str(store.folder)], env=environment, cwd=ROOT) as client:
        waits_for(lambda: len(store.log()) > 20 or client.poll() is not None)
        family = psutil.Process(client.pid).children(recursive=True)
        client.kill()
    waits_for(lambda: not any(psutil.pid_exists(child.pid) and child.is_running() for child in family))
    made = len(store.log())
    assert 20 < made < len(store.blocks())
    summary = render(upscaler, image, survey, store)
    assert (summary.rendered, summary.kept) == (len(store.blocks()) - made, made)
    assert_whole(store, whole)
    assert max(Counter(block for block, _ in store.log()).values()) == 1


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Any]:
    settings = {"n_workers": 1, "threads_per_worker": 2, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**settings, local_directory=str(tmp_path / "dask")) as cluster:
        yield cluster


@pytest.mark.slow
def test_a_cluster(case: Case, cluster: Any, tmp_path: Path) -> None:
    upscaler, image, survey, whole = case
    store = FolderStore(tmp_path / "store", whole.shape, full=(3,))
    summary = render(upscaler, image, survey, store, scheduler=cluster.scheduler_address)
    assert summary.failures == ("block 3: OSError: [Errno 28] No space left on device",)
    assert (summary.rendered, summary.missing) == (24, 1)
    store.full = ()
    with pytest.raises(Cancelled):
        render(upscaler, image, survey, store, scheduler=cluster.scheduler_address, cancel=lambda: True)
    ended: list[Any] = []
    finish = lambda each, **_: ended.extend(each(str, ["a", "b"]))  # noqa: E731
    assert render(upscaler, image, survey, store, scheduler=cluster.scheduler_address, finish=finish).finished
    assert ended == [None, None]
    assert_whole(store, whole)
    assert_nothing_twice(store)


def test_processes_that_can_not_be_started(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr("distributed.LocalCluster", fail)
    upscaler, image, survey, whole = case
    with pytest.raises(EscError, match=r"can't start 2 processes .*Nanny failed to start.*fewer --workers"):
        render(upscaler, image, survey, FolderStore(tmp_path / "store", whole.shape), workers=2)


@pytest.mark.slow
def test_workers_that_always_die(cluster: Any) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        cluster.scale(0)
        with pytest.raises(EscError, match="the worker processes die as soon as they start"):
            list(crew_module._there(client, lambda: 1, str, ["a"], None))


@pytest.mark.slow
def test_a_cluster_with_another_version(case: Case, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upscaler, image, survey, whole = case
    store, address = FolderStore(tmp_path / "store", whole.shape), cluster.scheduler_address
    monkeypatch.setattr(crew_module, "__version__", "0.0.1")
    with pytest.raises(EscError, match=r"^the worker .* has esc_plugin .*, not 0\.0\.1; install that there\.$"):
        render(upscaler, image, survey, store, scheduler=address)
    monkeypatch.setattr(crew_module, "resolve_name", _fails)
    with pytest.raises(EscError, match=r"can't import esc_plugin \(ModuleNotFoundError: No module named 'esc_plugin'\)"):
        render(upscaler, image, survey, store, scheduler=address)
    monkeypatch.setattr(crew_module, "PATIENCE", 1)
    with pytest.raises(EscError, match=r"^can't reach the scheduler 'tcp://127\.0\.0\.1:9'"):
        render(upscaler, image, survey, store, scheduler="tcp://127.0.0.1:9")
    assert not store.log()


def _fails(_: str) -> None:
    raise ModuleNotFoundError("No module named 'esc_plugin'")


@pytest.mark.slow
def test_a_scheduler_that_is_killed(case: Case, tmp_path: Path) -> None:
    printed = logging.StreamHandler(io.StringIO())
    logging.getLogger("distributed").addHandler(printed)
    upscaler, image, survey, whole = case
    store, address = FolderStore(tmp_path / "store", whole.shape, edge=16, pause=0.1), tmp_path / "scheduler.json"
    # By which name the store's module goes depends on the name of the folder that this is checked out into.
    above = Path(__file__).parents[FolderStore.__module__.count(".")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(above), str(ROOT)])}
    options = ["--scheduler-file", str(address), "--no-dashboard"]
    quiet: dict[str, Any] = {"env": environment, "cwd": tmp_path, "stderr": subprocess.DEVNULL}
    scheduler = subprocess.Popen([sys.executable, "-m", "distributed.cli.dask_scheduler", *options, "--port", "0"], **quiet)
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            *options,
            "--nthreads",
            "1",
            "--no-nanny",
            "--death-timeout",
            "5",
        ],
        **quiet,
    )
    try:
        waits_for(address.exists)

        def kill(done: int, _: int) -> None:
            if done == 10:
                scheduler.kill()

        text = address.read_text().partition('"address": "')[2].partition('"')[0]
        with pytest.raises(EscError, match="lost the scheduler"):
            render(upscaler, image, survey, store, scheduler=text, progress=kill)
    finally:
        scheduler.kill()
        worker.terminate()
        scheduler.wait(60)
        worker.wait(60)
        logging.getLogger("distributed").removeHandler(printed)
    assert "Traceback" not in printed.stream.getvalue()
    made, store.pause = len(store.log()), 0.0  # it was slow so that there was something left
    assert 10 <= made < len(store.blocks())
    assert render(upscaler, image, survey, store).rendered == len(store.blocks()) - made
    assert_whole(store, whole)
    assert_nothing_twice(store)
