"""The store that many workers fill together: whatever they do, and whenever they die, it becomes the image, once."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin import Cancelled, ImageError
from esc_plugin.arrays.pyramid import fill_level, halved
from esc_plugin.errors import StoreError
from esc_plugin.files.ome_axes import Axes
from esc_plugin.files.ome_notes import Channel

pytest.importorskip("yaozarrs", reason="needs yaozarrs for OME-Zarr's metadata")
zarr = pytest.importorskip("zarr", reason="needs zarr, which needs Python 3.11")

from esc_plugin.files.objects import Objects  # noqa: E402
from esc_plugin.files.zarr_store import ShardedImage  # noqa: E402

ROOT = Path(__file__).parents[1]
JOB = {"model": "a" * 64, "survey": "0123", "options": {"scale": 2, "intensity": "auto"}}
RECORD = {"software": "esc-plugin 1", "command": "upscale"}
PIECES = {"job": JOB, "shard": 64, "chunk": 32}


def axes_of(letters: str) -> Axes:
    return Axes(letters, (1.0,) * len(letters), (0.0,) * len(letters), ("pixel",) * len(letters))


def pixels(*shape: int, dtype: str = "uint16") -> np.ndarray:
    values = np.random.default_rng(0).integers(1, 250, shape)
    return (values / 7 if dtype.startswith("float") else values).astype(dtype)


def begun(target: str | Path, image: np.ndarray, letters: str = "yx", **given: Any) -> ShardedImage:
    return ShardedImage.create(target, image.shape, image.dtype, axes_of(letters), **PIECES | given)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("chunk_grid", "configuration", "chunk_shape"), [2**24, 64]),
        (("codecs", 0, "configuration", "chunk_shape"), [1, 1]),
        (("shape",), [64, 2**40]),
        (("data_type",), "float64"),
    ],
)
def test_metadata_that_somebody_changed(tmp_path: Path, place: tuple[Any, ...], value: Any) -> None:
    """A shard of 16 million rows has an index of a gigabyte, which was made to write one block."""
    image = pixels(64, 64)
    store = begun(tmp_path / "a.zarr", image)
    tree = json.loads((tmp_path / "a.zarr/0/zarr.json").read_text())
    holder = tree
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    (tmp_path / "a.zarr/0/zarr.json").write_text(json.dumps(tree))
    with pytest.raises(ImageError, match=r"level 0 of .* is not as it was begun"):
        fill(store, image)


def test_what_a_job_is_called_commands_no_terminal(tmp_path: Path) -> None:
    """The name comes from a file in the store, which anybody may have written."""
    begun(tmp_path / "a.zarr", pixels(64, 64), job=JOB | {"x\r\n\x1b[2Jy": 1})
    with pytest.raises(ImageError, match=r"was begun with x\\r\\n\\x1b\[2Jy 1, not") as caught:
        begun(tmp_path / "a.zarr", pixels(64, 64))
    assert str(caught.value).isprintable()


def fill(store: ShardedImage, image: np.ndarray, blocks: Iterable[Any] | None = None) -> int:
    """Write blocks of an image, and return how many."""
    blocks = store.missing() if blocks is None else list(blocks)
    for block in blocks:
        store.write(block, image[(*block.plane, *block.slices)])
    return len(blocks)


def read(target: str | Path, level: int = 0) -> np.ndarray:
    return np.asarray(zarr.open_group(str(target), mode="r")[str(level)][:])


def left_over(path: Path) -> list[str]:
    return [str(found) for found in path.rglob("*") if found.name.startswith((".esc-", "esc"))]


def assert_pyramid(target: str | Path, levels: int) -> None:
    for level in range(1, levels):
        finer, coarser = read(target, level - 1), read(target, level)
        expected = np.empty_like(coarser)
        fill_level(finer, expected, rgb=False)
        np.testing.assert_array_equal(coarser, expected)


@settings(max_examples=15)
@given(
    st.sampled_from(["yx", "zyx", "tyx", "ctzyx", "tczyx", "zcyx"]),
    st.tuples(*[st.integers(1, 2)] * 3, st.integers(1, 70), st.integers(1, 70)),
    st.sampled_from(["uint8", "uint16", "float32", "float64", "int16"]),
    st.sampled_from(["0.5", "0.4"]),
    st.booleans(),
    st.sampled_from([(8, 8), (16, 8), (24, 8), (64, 16)]),
    st.randoms(use_true_random=False),
)
def test_any_order_by_any_threads_gives_the_image(
    letters: str, sizes: tuple[int, ...], dtype: str, version: str, rgb: bool, edges: tuple[int, int], chance: random.Random
) -> None:
    rgb = rgb and "c" not in letters
    shape = (*sizes[-len(letters) :], *[3] * rgb)
    target, image = f"memory://{uuid.uuid4().hex}/a.ome.zarr", pixels(*shape, dtype=dtype)
    image[..., : shape[-1] // 2] *= chance.random() < 0.5  # blocks of the fill value
    with mock.patch("esc_plugin.arrays.pyramid.SMALLEST_LEVEL", 16), ThreadPoolExecutor(3) as pool:
        store = begun(target, image, letters, rgb=rgb, version=version, shard=edges[0], chunk=edges[1])
        blocks = store.blocks()
        chance.shuffle(blocks)
        list(pool.map(lambda block: fill(store, image, [block]), blocks + blocks[:3]))  # a task may run twice
        assert store.missing() == []
        assert all(map(store.done, blocks))
        store.finish("a", each=pool.map)
        on_disk = image.transpose(store.grid.layout.order)
        np.testing.assert_array_equal(read(target), on_disk)
        assert_pyramid(target, len(store.levels))
    assert not [key for key in store.objects.fs.find(store.objects.root) if "/esc/" in key]
    assert read(target).dtype == image.dtype


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_may_begin_the_same_at_any_moment(overwrite: bool, tmp_path: Path) -> None:
    """Whatever the one asks of the disk next, the other has begun just before."""
    image, pieces = pixels(20, 1100), {"shard": 1024, "chunk": 512}
    for moment in range(1, 100):
        target, calls, others = tmp_path / str(moment), iter(range(1, 100)), []
        if overwrite:
            begun(target, image[:9], job={"model": "old"}, **pieces)
        with mock.patch.multiple(Objects, **{name: before(name, target, image, calls, moment, others) for name in ASKED}):
            store = begun(target, image, overwrite=overwrite, **pieces)
        if not others:
            break
        assert store.missing() == others[0].missing() == store.blocks()
        fill(others[0], image)
        store.finish("a")
        np.testing.assert_array_equal(read(target), image)
    assert moment > 8


ASKED = ("names", "read", "exists", "write", "remove")


def before(name: str, target: Path, image: np.ndarray, calls: Any, moment: int, others: list[ShardedImage]) -> Any:
    """Return a method of `Objects` before whose call of that number another worker begins the same image."""
    asked = getattr(Objects, name)

    def method(self: Objects, *given: Any) -> Any:
        if next(calls, 0) == moment:
            others.append(begun(target, image, overwrite=True, shard=1024, chunk=512))
        return asked(self, *given)

    return method


@given(st.integers(1, 9), st.integers(1, 300), st.integers(1, 300))
def test_parts_are_a_partition(n: int, height: int, width: int) -> None:
    store = begun(f"memory://{uuid.uuid4().hex}", np.zeros((2, height, width), np.uint8), "zyx")
    parts = [store.part(i, n) for i in range(1, n + 1)]
    assert sorted((block for part in parts for block in part), key=lambda block: block.index) == store.blocks()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    covered = np.zeros((2, height, width), int)
    for block in store.blocks():
        covered[(*block.plane, *block.slices)] += 1
    assert (covered == 1).all()


def test_a_part_has_the_means_of_the_whole() -> None:
    plane = pixels(28, 66, 3, dtype="float64")
    np.testing.assert_array_equal(halved(plane[:, :16]), halved(plane)[:, :8])
    np.testing.assert_array_equal(halved(plane[..., 1]), halved(plane)[..., 1])


@pytest.mark.parametrize(("i", "n"), [(0, 3), (4, 3), (1, 0), (-1, 3)])
def test_a_part_that_is_none(i: int, n: int) -> None:
    store = begun(f"memory://{uuid.uuid4().hex}", pixels(8, 8))
    with pytest.raises(ImageError, match=f"no part {i} of {n}"):
        store.part(i, n)


def work_on_a_part(target: str, i: int, n: int) -> int:
    """Stand for a job of an array: begin or go on, and do one's part."""
    image = pixels(300, 1100)
    store = begun(target, image)
    return fill(store, image, [block for block in store.part(i, n) if not store.done(block)])


@pytest.mark.slow
def test_processes_that_know_nothing_of_each_other_give_the_image(tmp_path: Path) -> None:
    target, image = tmp_path / "a.ome.zarr", pixels(300, 1100)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, spawn) as pool:
        assert sum(pool.map(work_on_a_part, [str(target)] * 3, [1, 2, 3], [3] * 3)) == 5 * 18
        store = ShardedImage.open(target, JOB)
        store.finish("a", each=pool.map)
    np.testing.assert_array_equal(read(target), image)
    assert_pyramid(target, 2)
    assert not left_over(target)


DYING = """
import os, signal, sys
from pathlib import Path
from esc_plugin.files.zarr_store import ShardedImage
from tests.test_store import begun, pixels

target, lives, image = Path(sys.argv[1]), 0, pixels(2, 100, 1100)

def die():
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write, replace = Path.write_bytes, Path.replace

def dying_write(path, content):
    global lives
    lives -= 1
    if lives == 0:
        write(path, content[: len(content) // 2])
        die()
    return write(path, content)

def dying_replace(path, to):
    global lives
    lives -= 1
    if lives == 0:
        die()
    replace(path, to)
    lives -= 1
    if lives == 0:
        die()

Path.write_bytes, Path.replace = dying_write, dying_replace
def work():
    store = begun(target, image, "zyx", shard=256, chunk=64)
    for block in store.missing():
        print(block.index, end=" ")
        store.write(block, image[(*block.plane, *block.slices)])
        print("done", end=" ")
    store.finish("a")
    print("finished", end=" ", flush=True)

# Nothing has been computed yet, so no thread is left behind by a fork.
for lives in range(4, 40):
    child = os.fork()
    if not child:
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != signal.SIGKILL:
        break
print(lives, status)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals of POSIX")
def test_killed_at_any_step_the_next_one_goes_on(tmp_path: Path) -> None:
    """Each writer dies one step of writing later than the one before: in a half-written file, before and after renaming."""
    target, image = tmp_path / "a.ome.zarr", pixels(2, 100, 1100)
    command = [sys.executable, "-c", DYING, str(target)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "Error" not in ended.stderr, ended.stderr[-2000:]
    *done, finish, lives, status = ended.stdout.replace(" done", "+").split()
    assert (finish, status) == ("finished", "0")
    assert int(lives) > 13
    finished = [word for word in done if word.endswith("+")]
    assert len(finished) == len(set(finished))
    for word in finished:  # never asked again
        assert word[:-1] not in done[done.index(word) :]
    np.testing.assert_array_equal(read(target), image)
    assert_pyramid(target, 2)
    assert not left_over(target)


def test_what_is_done_is_not_asked_for_again(tmp_path: Path) -> None:
    image = pixels(200, 130)
    store = begun(tmp_path / "a", image)
    fill(store, image, store.blocks()[::2])
    again = begun(tmp_path / "a", image)
    assert again.missing() == [block for block in store.blocks() if block.index % 2] == store.blocks()[1::2]
    for path in (tmp_path / "a" / "0").rglob("c/0/0"):  # a shard that got lost is done again, though it was marked
        path.unlink()
    assert again.missing()[0].index == 0
    assert not again.done(again.blocks()[0])
    assert fill(again, image) == 7
    again.finish("a")
    np.testing.assert_array_equal(read(tmp_path / "a"), image)


def test_blocks_of_the_fill_value_are_done_without_a_shard(tmp_path: Path) -> None:
    image = np.zeros((130, 130), np.uint8)
    store = begun(tmp_path / "a", image)
    fill(store, image)
    assert store.missing() == []
    assert not list((tmp_path / "a" / "0" / "c").rglob("*"))
    store.finish("a")
    np.testing.assert_array_equal(read(tmp_path / "a"), image)


def another(**changed: Any) -> dict[str, Any]:
    return {"job": JOB | changed}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (another(model="b" * 64), "with model 'aaaa.*', not 'bbbb"),
        (another(survey="9"), "with survey '0123', not '9'"),
        (another(options={"scale": 4, "intensity": "auto"}), "with options.scale 2, not 4"),
        (another(options={"scale": 2}), "with options.intensity 'auto', not None"),
        (another(software="2"), "with software None, not '2'"),
        ({"shard": 32}, "with shard 64, not 32"),
        ({"chunk": 64}, "with chunk 32, not 64"),
        ({"version": "0.4"}, "with version '0.5', not '0.4'"),
        ({"image": pixels(8, 9)}, r"with shape \[8, 8\], not \[8, 9\]"),
        ({"image": pixels(8, 8, dtype="uint8")}, "with dtype 'uint16', not 'uint8'"),
    ],
)
def test_another_job_is_refused_by_what_differs(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    target, image = tmp_path / "a", pixels(8, 8)
    fill(begun(target, image), image)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    with pytest.raises(ImageError, match=rf"a' was begun {told}") as refused:
        begun(target, **{"image": image} | changed)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == before
    if changed.keys() == {"job"}:
        with pytest.raises(ImageError, match=rf"a' was begun {told}"):
            ShardedImage.open(target, changed["job"])


def test_what_is_not_ours_is_refused_and_stays(tmp_path: Path) -> None:
    image = pixels(8, 8)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("more of it")
    zarr.open_group(tmp_path / "group", mode="w").create_array("0", shape=(8, 8), dtype="u1")
    before = sorted(tmp_path.rglob("*"))
    for name in ("folder", "file", "group"):
        for overwrite in (False, True):
            with pytest.raises(ImageError, match=f"{name}' is there already, and no image of this program"):
                begun(tmp_path / name, image, overwrite=overwrite)
        with pytest.raises(ImageError, match="nobody has begun"):
            ShardedImage.open(tmp_path / name, JOB)
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(ImageError, match="there is no folder"):
        begun(tmp_path / "none" / "a", image)
    (tmp_path / "empty").mkdir()
    assert len(begun(tmp_path / "empty", image).missing()) == 1


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_finished_image_is_replaced_only_on_demand(where: str, tmp_path: Path) -> None:
    target = tmp_path / "a" if where == "disk" else f"memory://{uuid.uuid4().hex}/a"
    large, small = pixels(20, 4200), pixels(70, 70)
    store = begun(target, large)
    fill(store, large)
    store.finish("a")
    for _ in range(2):
        with pytest.raises(ImageError, match="is there already; choose another name, or replace it with --overwrite"):
            begun(target, large)
        store.objects.write("esc/job.json", b"{}")  # as one leaves it who is killed while he finishes
    with pytest.raises(ImageError, match="is finished"):
        ShardedImage.open(target, JOB)
    assert store.done(store.blocks()[0])
    fill(store, np.zeros_like(large), store.blocks()[:1])  # who comes late with the same block changes nothing
    np.testing.assert_array_equal(read(target), large)
    store = begun(target, small, overwrite=True, version="0.4")
    assert len(store.missing()) == 4
    fill(store, small, store.blocks()[:3])
    assert len(begun(target, small, overwrite=True, version="0.4").missing()) == 1
    fill(store, small)
    store.finish("a")
    np.testing.assert_array_equal(read(target), small)
    assert set(zarr.open_group(str(target), mode="r").array_keys()) == {"0"}


@pytest.mark.parametrize("step", range(1, 7))
def test_who_is_stopped_while_replacing_goes_on(step: int, tmp_path: Path) -> None:
    target, old, new = tmp_path / "a", pixels(20, 2100), pixels(70, 70)
    store = begun(target, old)
    fill(store, old)
    store.finish("a")
    remove, steps = type(store.objects).remove, iter(range(1, 100))

    def stopping(objects: Any, key: str) -> None:
        if next(steps) == step:
            raise KeyboardInterrupt
        remove(objects, key)

    with mock.patch.object(type(store.objects), "remove", stopping), pytest.raises(KeyboardInterrupt):
        begun(target, new, overwrite=True)
    store = begun(target, new, overwrite=step == 1)  # until then, nothing was removed
    fill(store, new)
    store.finish("a")
    np.testing.assert_array_equal(read(target), new)
    assert set(zarr.open_group(target, mode="r").array_keys()) == {"0"}


def test_a_worker_of_the_replaced_job_writes_nothing_more(tmp_path: Path) -> None:
    image = pixels(8, 8)
    old = begun(tmp_path / "a", image)
    fill(old, image)
    new = begun(tmp_path / "a", image, overwrite=True, **another(survey="9"))
    assert len(new.missing()) == 1
    with pytest.raises(ImageError, match="begun anew by another job"):
        fill(old, image, old.blocks())
    assert len(new.missing()) == 1


def test_nobody_sees_an_image_before_it_is_whole(tmp_path: Path) -> None:
    image = pixels(100, 1100)
    store = begun(tmp_path / "a", image)
    fill(store, image, store.blocks()[3:])
    with pytest.raises(
        ImageError, match=r"3 of 36 blocks of .*a' aren't done; the first is block 0 of level 0 \(rows 0 to 64"
    ):
        store.finish("a")
    assert not zarr.open_group(tmp_path / "a", mode="r").attrs
    with pytest.raises(ImageError, match=r"block 0 of level 1 .* needs block 0 of level 0 .*, which isn't done"):
        store.build(store.blocks(1)[0])
    fill(store, image)
    with pytest.raises(Cancelled):
        store.finish("a", cancel=lambda: True)
    assert not zarr.open_group(tmp_path / "a", mode="r").attrs
    told: list[tuple[int, int]] = []
    missing = len(store.missing(1))
    store.finish("a", progress=lambda *done: told.append(done))
    assert told == [(i + 1, missing) for i in range(missing)]
    assert 0 < missing < len(store.blocks(1))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_other_programs_read_the_finished_store(version: str, tmp_path: Path) -> None:
    import dask.array as da
    import yaozarrs

    target, image = tmp_path / "a.ome.zarr", pixels(2, 40, 1100, 3, dtype="uint8")
    store = begun(target, image, "tyx", rgb=True, version=version)
    assert [block.plane for block in store.blocks()[::18]] == [(0,), (1,)]
    fill(store, image)
    store.finish("cells", channels=[Channel(limits=(0.0, 200.0))], record=RECORD)
    yaozarrs.validate_zarr_store(str(target))
    group = zarr.open_group(target, mode="r")
    assert group.attrs["esc"] == RECORD
    assert group["0"].chunks == ((1, 1, 32, 32) if version == "0.5" else (1, 3, 40, 64))
    assert group["0"].shards == ((1, 3, 64, 64) if version == "0.5" else None)
    assert sorted(group.array_keys()) == ["0", "1"]
    np.testing.assert_array_equal(da.from_zarr(str(target), component="0").compute(), image.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_the_official_models_take_it(version: str, tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="the official models aren't installed")
    image = pixels(2, 40, 1100)
    store = begun(tmp_path / "a.ome.zarr", image, "zyx", version=version)
    fill(store, image)
    store.finish("cells", channels=[Channel(limits=(0.0, 200.0))])
    assert models.open_ome_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r")).ome_zarr_version == version


def test_usual_shards_hold_whole_chunks() -> None:
    def arrays(version: str) -> Any:
        about = {"shape": (3000, 5000), "dtype": "u2", "axes": axes_of("yx"), "job": JOB, "version": version}
        target = f"memory://{uuid.uuid4().hex}"
        ShardedImage.create(target, **about)
        group = zarr.open_group(target, mode="r")
        return [(group[str(i)].shards, group[str(i)].chunks) for i in range(4)]

    assert arrays("0.5")[0] == ((2048, 2048), (512, 512))
    assert arrays("0.5")[2:] == [((1024, 1536), (512, 512)), ((375, 1024), (375, 512))]
    assert arrays("0.4") == [(None, (1024, 1024))] * 2 + [(None, (750, 1024)), (None, (375, 625))]


def test_urls_of_files_are_paths(tmp_path: Path) -> None:
    image = pixels(8, 8)
    store = begun((tmp_path / "a b").as_uri().replace("%20", " "), image)
    fill(store, image)
    store.finish("a")
    assert store.objects.local == tmp_path / "a b"
    np.testing.assert_array_equal(read(tmp_path / "a b"), image)


@pytest.mark.parametrize("url", ["nonsense://a", "s3://bucket/a*.zarr", "memory://a[1]"])
def test_urls_that_cannot_be_are_one_line(url: str) -> None:
    with pytest.raises(ImageError, match=r"^can't use '[^\n]*\.$"):
        begun(url, pixels(8, 8))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shard": 100}, "100 isn't a multiple of 32"),
        ({"chunk": 128}, "64 isn't a multiple of 128"),
        ({"version": "0.6"}, "no OME-Zarr version '0.6'"),
        ({"letters": "xy"}, "the last two must be 'yx'"),
        ({"letters": "zyx"}, "don't fit an image"),
    ],
)
def test_what_ome_zarr_cannot_hold_is_refused_first(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=told):
        begun(tmp_path / "a", pixels(8, 8), **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("values", [pixels(8, 9), pixels(8, 8, dtype="uint8"), pixels(8, 8, 3)])
def test_a_block_of_another_kind_is_refused(values: np.ndarray) -> None:
    store = begun(f"memory://{uuid.uuid4().hex}", pixels(8, 8))
    with pytest.raises(ImageError, match=r"block 0 .* must be \(8, 8\) of uint16, and"):
        store.write(store.blocks()[0], values)
    assert len(store.missing()) == 1


def full(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def lost(*_: Any) -> None:
    raise RuntimeError("the server\nhung up")


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_store_that_takes_no_more_is_one_line_and_keeps_what_it_has(where: str, tmp_path: Path) -> None:
    target = str(tmp_path / "a") if where == "disk" else f"memory://{uuid.uuid4().hex}/a"
    image = pixels(100, 100)
    store = begun(target, image)
    fill(store, image, store.blocks()[:2])
    breaking = (
        mock.patch.object(Path, "write_bytes", full)
        if where == "disk"
        else mock.patch.object(type(store.objects.fs), "pipe_file", lost)
    )
    said = "No space left on device" if where == "disk" else "the server hung up"
    with breaking, pytest.raises(ImageError) as told:
        fill(store, image, store.blocks()[2:])
    assert isinstance(told.value, StoreError) == (where == "disk")  # a server may answer again
    assert str(told.value).startswith(
        f"block 2 of level 0 (rows 64 to 100, columns 0 to 64) of {target!r} can't be written: "
    )
    assert said in str(told.value)
    assert "\n" not in str(told.value)
    assert [block.index for block in store.missing()] == [2, 3]
    fill(store, image)
    with breaking, pytest.raises(ImageError, match=rf"can't finish .*{said}"):
        store.finish("a")
    store.finish("a")
    np.testing.assert_array_equal(read(target), image)


def test_a_store_that_vanished_is_not_made_again(tmp_path: Path) -> None:
    import shutil

    image = pixels(8, 8)
    store = begun(tmp_path / "a", image)
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(StoreError, match=r"block 0 .* can't be written: the store is gone"):
        fill(store, image, store.blocks())
    assert not list(tmp_path.iterdir())


def test_a_level_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    image = pixels(20, 1100)
    store = begun(tmp_path / "a", image)
    fill(store, image)
    shard = tmp_path / "a" / "0" / "c" / "0" / "3"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-7])
    with pytest.raises(ImageError, match=r"^can't read .*a' for block 1 of level 1 [^\n]*$"):
        store.finish("a")
    shard.write_bytes(whole)
    store.finish("a")


def test_a_damaged_job_is_one_line(tmp_path: Path) -> None:
    image = pixels(8, 8)
    begun(tmp_path / "a", image)
    for text in ("[1]", "7", "{}", json.dumps({"grid": 7})):
        (tmp_path / "a" / "esc" / "job.json").write_text(text)
        with pytest.raises(ImageError, match=r"^[^\n]*a'[^\n]*$"):
            ShardedImage.open(tmp_path / "a", JOB)
        with pytest.raises(ImageError, match=r"^[^\n]*a'[^\n]*$"):
            begun(tmp_path / "a", image)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"uint16"', '"uint8"'), ('"little"', '"big"'), ("1100", "1101"), ('"fill_value": 0', '"fill_value": 3'), ("{", "")],
)
def test_metadata_that_would_show_other_values_are_refused(old: str, new: str, tmp_path: Path) -> None:
    image = pixels(20, 1100)
    fill(begun(tmp_path / "a", image), image, begun(tmp_path / "a", image).blocks()[:3])
    described = tmp_path / "a" / "0" / "zarr.json"
    whole = described.read_text()
    assert old in whole
    described.write_text(whole.replace(old, new, 1))
    store = begun(tmp_path / "a", image)
    with pytest.raises(ImageError, match=r"^[^\n]*a'[^\n]*$"):
        fill(store, image)
    described.write_text(json.dumps(json.loads(whole)))  # as another version may write the same
    fill(begun(tmp_path / "a", image), image)
    described.write_text(whole.replace(old, new, 1))
    with pytest.raises(ImageError, match=r"^[^\n]*a'[^\n]*$"):
        begun(tmp_path / "a", image).finish("a")
    described.write_text(whole)
    begun(tmp_path / "a", image).finish("a")
    np.testing.assert_array_equal(read(tmp_path / "a"), image)


def test_it_travels_to_other_workers(tmp_path: Path) -> None:
    store = begun(tmp_path / "a", pixels(8, 8))
    there = pickle.loads(pickle.dumps(store))
    assert (there.target, there.grid, there.job) == (store.target, store.grid, store.job)
    assert there.blocks() == pickle.loads(pickle.dumps(store.blocks()))


def test_a_missing_package_is_named_with_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ImageError, match="pip install fsspec"):
        begun(tmp_path / "a.ome.zarr", pixels(8, 8))


@pytest.mark.parametrize("moment", ["holds", "_write", "finished"])
def test_one_that_another_process_finishes_is_left_as_it_is(moment: str, tmp_path: Path, monkeypatch) -> None:
    image = pixels(20, 30)
    mine, other = begun(tmp_path / "a", image), begun(tmp_path / "a", image)
    write = ShardedImage._write

    def finish_first(store: ShardedImage, *given: Any) -> None:
        """Write when another process has just finished: its sweep takes away what is being written."""
        monkeypatch.undo()
        fill(other, image)
        other.finish("a", record={"made": "so"})
        if moment == "_write":
            raise ImageError("there is no such file any more.")
        write(store, *given)

    if moment != "holds":
        monkeypatch.setattr(ShardedImage, "_write", finish_first)
    else:
        fill(other, image)
        other.finish("a", record={"made": "so"})
    fill(mine, image)
    np.testing.assert_array_equal(read(tmp_path / "a"), image)
    assert not (tmp_path / "a" / "esc").exists()
    assert mine.was_finished({"made": "so"})
    assert not mine.was_finished({"made": "otherwise"})


def test_a_folder_that_others_write_into_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, left = Objects(tmp_path), iter(range(3))
    remove = shutil.rmtree

    def disturbed(path: Path, **options: Any) -> None:
        remove(path, **options)
        if next(left, None) is not None:
            (path / "0").mkdir(parents=True)

    monkeypatch.setattr("esc_plugin.files.objects.rmtree", disturbed)
    objects.write("esc/done/0", b"")
    objects.remove("esc")
    assert not (tmp_path / "esc").exists()
