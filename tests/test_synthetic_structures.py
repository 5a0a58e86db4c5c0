"""Micrographs that are drawn: what they look like in numbers, and how they come into a training."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from esc_plugin.catalog.load import load_model
from esc_plugin.train.batches import Batches
from esc_plugin.train.images import Entry, Images, open_images
from esc_plugin.train.micrographs import FLAT, KINDS, Drawing, draw
from esc_plugin.train.pairs.classic import Bicubic
from esc_plugin.train.pairs.registry import make_maker
from esc_plugin.train.recipe import Data, Recipe, RecipeError, Synthetic, read_recipe
from esc_plugin.train.run import train
from esc_plugin.train.shares import chances
from esc_plugin.train.structures import STEP, STRUCTURES, worms

TINY = {"like": "ESC-nano", "dim": 16, "pdim": 8, "kernel_size": 5, "n_blocks": 1, "conv_blocks": 1, "window_size": 8}
TINY |= {"num_heads": 2, "proj_hidden": 16, "conv_hidden": 16}


def fine_share(image: np.ndarray) -> float:
    """Return the share of the variance above 0.3 cycles per pixel; of white noise it is two thirds."""
    window = np.hanning(image.shape[0])
    power = np.abs(np.fft.fft2((image - image.mean()) * window * window[:, None])) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(n) for n in image.shape]))
    return float(power[frequency > 0.3].sum() / max(power.sum(), 1e-12))


@pytest.mark.parametrize("kind", KINDS)
def test_a_micrograph_follows_from_seed_and_number(kind: str) -> None:
    image = draw(kind, 3, 5, 96)
    assert image.dtype == np.uint16
    assert image.shape[:2] == (96, 96)
    assert image.flags["C_CONTIGUOUS"]
    assert np.array_equal(draw(kind, 3, 5, 96), image)
    for other in (draw(kind, 4, 5, 96), draw(kind, 3, 6, 96)):
        assert other.shape != image.shape or not np.array_equal(other, image)


@pytest.mark.parametrize("kind", KINDS)
def test_micrographs_are_in_focus_no_sharper_than_a_microscope(kind: str) -> None:
    images = [draw(kind, 0, number, 192).astype(float).mean(2) for number in range(FLAT - 1)]
    assert all(image.std() > 20 for image in images)
    assert max(map(fine_share, images)) < 0.02
    assert np.median([image.max() for image in images]) > 0.4 * 65535
    middle = np.median([np.median(image) for image in images]) / 65535
    assert middle < 0.3 if kind == "fluorescence" else middle > 0.4


@pytest.mark.parametrize("kind", KINDS)
def test_one_in_eight_is_a_flat_field(kind: str) -> None:
    images = {number: draw(kind, 0, number, 32) for number in (*range(FLAT), 2 * FLAT - 1)}
    levels = {number: image.flat[0] for number, image in images.items() if np.ptp(image) == 0}
    assert list(levels) == [FLAT - 1, 2 * FLAT - 1]
    assert len(set(levels.values())) == 2


def test_fluorescence_is_gray_and_some_bright_field_in_colour() -> None:
    assert {draw("fluorescence", 0, number, 64).shape[2] for number in range(12)} == {1}
    assert {draw("brightfield", 0, number, 64).shape[2] for number in range(12)} == {1, 3}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_light_on_nothing(name: str) -> None:
    for seed in range(5):
        light = STRUCTURES[name](np.random.default_rng(seed), 128)
        assert light.shape == (128, 128)
        assert np.isfinite(light).all()
        assert light.min() >= 0 < light.max()


def test_structures_differ() -> None:
    """Lines and spots cover little, bodies much; what is long has its power along few directions."""
    covered = {
        name: np.mean(
            [(image > 0.2 * image.max()).mean() for image in (make(np.random.default_rng(s), 128) for s in range(9))]
        )
        for name, make in STRUCTURES.items()
    }
    assert covered["vesicles"] < covered["filaments"] + 0.1 < covered["nuclei"]
    assert len({round(share, 4) for share in covered.values()}) == len(STRUCTURES)


@pytest.mark.parametrize("persistence", [20.0, 100.0])
def test_chains_are_as_stiff_as_they_should_be(persistence: float) -> None:
    points, heading = worms(np.random.default_rng(0), np.zeros((4000, 2)), 60, persistence)
    for steps in (10, 40, 80):
        cosine = np.cos(heading[:, steps] - heading[:, 0]).mean()
        assert cosine == pytest.approx(np.exp(-steps * STEP / (2 * persistence)), abs=0.03)
    assert np.hypot(*np.diff(points[0], axis=0).T) == pytest.approx(STEP)


def images_of(*planes: tuple[str, int, int]) -> Images:
    return Images(Path("none"), [Entry(name, 0, (height, width, 1), "uint8") for name, height, width in planes])


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    """Return two folders, the second with an image that is four times as large as each of the two of the first."""
    rng = np.random.default_rng(0)
    for name, edge in (("a/0", 32), ("a/1", 32), ("b/2", 64)):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (edge, edge), np.uint8)).save(path)
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_shares(folders: list[str]) -> None:
    a, b = map(Path, folders)
    images = images_of((str(a / "0.png"), 32, 32), (str(a / "1.png"), 32, 32), (str(b / "2.png"), 64, 64))
    assert chances(images, Data(folders=tuple(folders))) is None
    found = chances(images, Data(folders=tuple(folders), shares=(3, 1)))
    assert found == pytest.approx([0.375, 0.375, 0.25])
    images.entries.append(Entry("drawn", 0, (16, 16, 1), "uint16"))
    drawn = Synthetic(images=1, share=0.2)
    assert chances(images, Data(tuple(folders), synthetic=drawn)) == pytest.approx([0.8 / 6, 0.8 / 6, 3.2 / 6, 0.2])
    assert chances(images, Data(tuple(folders), (1, 1), drawn)) == pytest.approx([0.2, 0.2, 0.4, 0.2])
    assert chances(images_of(("drawn", 9, 9)), Data(synthetic=drawn)) == pytest.approx([1])


def test_shares_that_cannot_be(folders: list[str], tmp_path: Path) -> None:
    recipe = small(["data.folders", folders], ["data.shares", [1, 2, 3]])
    with pytest.raises(RecipeError, match=r"data\.shares: \[1\.0, 2\.0, 3\.0\] are not one for each of 2 folders"):
        train(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match=r"data\.shares\[0\]: 0\.0 must be above 0"):
        small(["data.shares", [0, 1]])
    with pytest.raises(RecipeError, match=r"data\.synthetic\.kind: 'xray' is not one of fluorescence, brightfield"):
        small(["data.synthetic.kind", "xray"])
    twice = replace(recipe, data=replace(recipe.data, folders=(folders[0],) * 2, shares=(1.0, 1.0)))
    with pytest.raises(RecipeError, match=r"all images of '.*a' are in another folder too"):
        train(twice, tmp_path / "out")


def test_patches_come_by_their_chances(tmp_path: Path, folders: list[str]) -> None:
    images = open_images([Path(folders[1]) / "2.png"], tmp_path / "cache", 16, drawing=Drawing("fluorescence", 2, 32))
    drawn = [entry.dtype == "uint16" for entry in images.entries]
    assert drawn == [False, True, True]
    assert np.array_equal(images[2], draw("fluorescence", 0, 1, 32))
    only = Batches(images, Bicubic(2, 16), 8, seed=0, chances=np.array([0.0, 0.0, 1.0]))[0][1]
    whole = torch.from_numpy(images[2].astype(np.float32) / 65535)[..., 0].double()
    assert all(patch.double().mean() == pytest.approx(whole.mean().item(), abs=1e-6) for patch in only)


def test_other_drawings_are_another_cache(tmp_path: Path) -> None:
    files = {
        open_images([], tmp_path, 8, drawing=drawing).file
        for drawing in (
            Drawing("fluorescence", 1, 32),
            Drawing("fluorescence", 1, 32, seed=1),
            Drawing("brightfield", 1, 32),
        )
    }
    assert len(files) == 3


def small(*changes: list) -> Recipe:
    values = {"model": TINY, "data.patch": 12, "data.batch": 2, "data.synthetic.images": 3, "precision": "float32"}
    return read_recipe("fluorescence", values | {"iterations": 2} | dict(changes))


def test_a_training_without_a_folder(tmp_path: Path) -> None:
    model = load_model(train(small(), tmp_path / "drawn"))
    assert model.card["training"].endswith("; 3 synthetic structures.")


def test_a_training_with_folders_and_drawings_goes_on_to_the_bit(folders: list[str], tmp_path: Path) -> None:
    recipe, threads = small(["data.folders", folders], ["data.shares", [1, 1]]), torch.get_num_threads()
    torch.set_num_threads(1)  # sums are split by threads
    try:
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "parts", after=lambda training: training.iteration == 1)
        shutil.rmtree(tmp_path / "parts" / "cache")  # what was drawn is drawn again
        parts, whole = (train(recipe, tmp_path / name) for name in ("parts", "whole"))
    finally:
        torch.set_num_threads(threads)
    assert load_model(parts).card["training"].endswith("; images of a, b and 3 synthetic structures.")
    once = load_file(whole)
    assert all(torch.equal(tensor, once[name]) for name, tensor in load_file(parts).items())


def test_a_checkpoint_from_before_there_were_shares_and_l2_goes_on(folders: list[str], tmp_path: Path) -> None:
    plain = ["data.synthetic.images", 0], ["loss", {"l1": 1}]
    recipe = small(["data.folders", folders], *plain, ["data.synthetic.share", 0.5])
    train(recipe, tmp_path / "old")
    path = tmp_path / "old" / "last.ckpt"
    stored = torch.load(path, weights_only=True)
    for name in ("shares", "synthetic"):
        del stored["esc"]["recipe"]["data"][name]
    del stored["esc"]["recipe"]["loss"]["l2"]
    torch.save(stored, path)
    train(recipe, tmp_path / "old", resume=True)


def test_some_deep_images_are_recorded_with_8_bits() -> None:
    maker = make_maker("microscopy", 2, 16, {"shallow": 0.5})
    hr = np.random.default_rng(0).integers(0, 65535, (36, 36, 1), np.uint16, endpoint=True)
    lows = [maker.make(np.pad(hr, ((2, 2), (2, 2), (0, 0))), np.random.default_rng(seed))[0] for seed in range(40)]
    shallow = [bool(torch.allclose(low * 255, (low * 255).round(), atol=1e-3)) for low in lows]
    assert 8 < sum(shallow) < 32
    with pytest.raises(RecipeError, match=r"shallow=2 must be from 0 to 1"):
        make_maker("microscopy", 2, 16, {"shallow": 2})
