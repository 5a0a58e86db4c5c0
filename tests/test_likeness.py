"""Which images show the same place, and on which side of a training they go then."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from esc_plugin.train.images import open_images
from esc_plugin.train.likeness import alike, following, neighbours, planes
from esc_plugin.train.notes import notes
from esc_plugin.train.sources import ImageArray
from esc_plugin.train.split import choose, split

#: Each example takes a fifth of a second.
FEW = settings(max_examples=8)


def volume(seed: int, depth: int = 12, height: int = 200, width: int = 240) -> np.ndarray:
    """Return a stack of blobs (depth, height, width), whose neighbouring planes are much alike, with noise of their own."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=(depth, height, width)), (2, 4, 4))
    blobs = np.clip(blobs / blobs.std(), 0, None)
    return np.clip(20 + 50 * blobs + rng.normal(0, 5, blobs.shape), 0, 255).astype(np.uint8)


def cells(seed: int) -> np.ndarray:
    """Return a cell in the middle, under a light that falls off to the borders, as unrelated images of a kind have."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:200j, -1:1:240j]
    inside = np.exp(-((np.hypot(y / 0.4, x / (0.3 + 0.2 * rng.random()))) ** 4))
    detail = ndimage.gaussian_filter(rng.normal(size=y.shape), 4)
    image = (1 - 0.3 * (x * x + y * y)) * (20 + 100 * inside * (1 + 0.5 * detail / detail.std()))
    return np.clip(image + rng.normal(0, 3, y.shape), 0, 255).astype(np.uint8)


def pairs_of(images: list[np.ndarray]) -> set[tuple[int, int]]:
    return set(alike([image.reshape(*image.shape[:2], -1) for image in images], combinations(range(len(images)), 2)))


@FEW
@given(seed=st.integers(0, 1000))
def test_neighbours_are_alike_and_others_are_not(seed: int) -> None:
    first, other = volume(seed)[4:8], volume(seed + 5000)[4:6]
    found = pairs_of([*first, *other])
    assert {(0, 1), (1, 2), (2, 3), (4, 5)} <= found
    assert not {(i, j) for i, j in found if i < 4 <= j}


@FEW
@given(seed=st.integers(0, 1000), down=st.integers(0, 80), right=st.integers(0, 100))
def test_views_that_overlap_are_alike(seed: int, down: int, right: int) -> None:
    scene = volume(seed, 1, 280, 340)[0]
    moved = scene[down : down + 200, right : right + 240] // 2 + np.uint8(30)  # and exposed in another way
    assert pairs_of([scene[:200, :240], moved]) == {(0, 1)}


@FEW
@given(seed=st.integers(0, 1000))
def test_outlines_and_light_make_nothing_alike(seed: int) -> None:
    assert not pairs_of([cells(3 * seed + i) for i in range(3)])
    y, x = np.mgrid[-1:1:200j, -1:1:240j]
    noise = np.random.default_rng(seed).normal(0, 3, (3, 200, 240))
    assert not pairs_of([*np.clip(200 * (1 - 0.3 * (x * x + y * y)) + noise, 0, 255).astype(np.uint8)])


@pytest.mark.parametrize("value", [0, 255])
def test_images_without_anything_are_like_nothing(value: int) -> None:
    assert not pairs_of([np.full((100, 100), value, np.uint8)] * 3)
    assert not pairs_of([np.random.default_rng(0).integers(0, 256, (5, 300), np.uint8)] * 2)  # too small to say


def test_sizes_and_depths_may_differ() -> None:
    image = volume(0, 1)[0]
    deep = (image[20:, 30:].astype(np.uint16) * 257)[..., None]
    colour = np.stack([image] * 3, 2)
    assert pairs_of([colour, deep]) == {(0, 1)}


def test_few_are_all_compared_and_many_with_those_that_follow() -> None:
    assert set(following(10)) == set(combinations(range(10), 2))
    assert set(following(20_000)) == {(i, i + 1) for i in range(19_999)}


@given(count=st.integers(5, 60), data=st.data())
def test_those_that_are_alike_stay_together(count: int, data: st.DataObject) -> None:
    number = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(number, number).filter(lambda pair: pair[0] != pair[1]), max_size=count))
    held_out, unused = choose(count, pairs)
    seen = set(range(count)) - held_out - unused
    assert held_out
    assert not held_out & unused
    assert len(held_out) <= count // 5
    assert len(seen) >= len(held_out)
    apart = [pair for pair in pairs if held_out & set(pair) and seen & set(pair)]
    if apart:  # only where too much is like the middle
        assert not unused
        assert held_out == set(range((count - count // 5) // 2, (count + count // 5) // 2))


def test_without_any_that_are_alike_it_is_a_matter_of_chance() -> None:
    held_out, unused = choose(36, [])
    assert (held_out, unused) == ({2, 3, 4, 21, 26, 30, 34}, set())


def written(folder: Path, images: list[np.ndarray]) -> list[Path]:
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return sorted(folder.iterdir())


def test_slices_that_are_files_stay_on_one_side(tmp_path: Path) -> None:
    paths = written(tmp_path / "slices", [*volume(0)[4:6], *volume(1)[4:6], *volume(2)[4:6], *(cells(i) for i in range(6))])
    seen, unseen = split(paths, tmp_path / "parts")
    numbers = [{int(entry.name[:2]) for entry in images.entries} for images in (seen, unseen)]
    assert numbers[0] | numbers[1] == set(range(12))
    for pair in ({0, 1}, {2, 3}, {4, 5}):
        assert pair <= numbers[0] or pair <= numbers[1]
    assert neighbours(seen, unseen) is None


def test_of_a_film_in_files_the_middle_is_held_out_without_what_is_like_it(tmp_path: Path) -> None:
    paths = written(tmp_path / "film", [*volume(0, 20)])
    seen, unseen = split(paths, tmp_path / "parts")
    numbers = [sorted(int(entry.name[:2]) for entry in images.entries) for images in (seen, unseen)]
    assert numbers[1] == [8, 9, 10, 11]
    assert len(numbers[0]) >= 10
    assert not {7, 12} & set(numbers[0])
    assert list(notes(seen, unseen)) == []


def test_where_all_are_alike_it_is_said(tmp_path: Path) -> None:
    plane = volume(0, 1)[0].astype(float)
    noisy = [plane + np.random.default_rng(i).normal(0, 5, plane.shape) for i in range(6)]
    paths = written(tmp_path / "same", [np.clip(image, 0, 255).astype(np.uint8) for image in noisy])
    (told,) = notes(*split(paths, tmp_path / "parts"))
    assert "held out, '02.png' looks like '0" in told
    assert "which is trained on: the gain told may be too good" in told


def test_a_stack_of_thick_things_is_told(tmp_path: Path) -> None:
    # Everything goes through all planes.
    parts, told = notes(*split([ImageArray("thick", np.repeat(volume(0, 1), 12, 0), "ZYX")], tmp_path / "parts"))
    assert parts.startswith("what is held out belongs to images that are trained on: ")
    assert told.startswith("held out, planes of 'thick' look like others of it that are trained on")


def test_parts_of_one_plane_are_not_alike(tmp_path: Path) -> None:
    film = ImageArray("film", np.repeat(volume(0, 1), 4, 0), "TYX")
    seen, unseen = split([film], tmp_path / "parts")
    assert neighbours(seen, unseen) is None
    (told,) = notes(seen, unseen)
    assert "on others of their kind the gain may be smaller. Of 5 images or more, whole ones are held out." in told


def test_real_images_of_one_kind_are_not_alike(shared: Path, tmp_path: Path) -> None:
    paths = sorted((shared / "data" / "microscopy" / "nuclei_cc0").iterdir())
    images = open_images(paths, tmp_path, 1)
    assert not alike(planes(images), combinations(range(len(images)), 2))
