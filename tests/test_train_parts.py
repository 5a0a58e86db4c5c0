"""What a training is made of: recipes, schedules, images, batches, averages, where it starts."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from esc_plugin.arrays.bicubic import imresize
from esc_plugin.batch.find import find_originals
from esc_plugin.catalog.load import load_model
from esc_plugin.errors import EscError, ImageError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.network import biased_attention as attention
from esc_plugin.network.config import released
from esc_plugin.network.heads.sub_pixel import rescale_subpixels
from esc_plugin.train.batches import Batches, From, patch_of
from esc_plugin.train.first_network import start_network
from esc_plugin.train.images import open_images, read_planes
from esc_plugin.train.pairs.classic import Bicubic
from esc_plugin.train.pairs.registry import MAKERS, make_maker
from esc_plugin.train.recipe import Recipe, RecipeError, Schedule, parse_change, read_recipe, recipe_names
from esc_plugin.upscaler import Upscaler
from esc_plugin.weights.model import Model

from .guide import module_of_the_guide
from .small import small_config

PUBLISHED = read_recipe("classic").schedule


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0),
        (10_000, 2.5e-4),
        (20_000, 5e-4),
        (249_999, 5e-4),
        (250_000, 2.5e-4),
        (400_000, 1.25e-4),
        (450_000, 6.25e-5),
        (475_000, 3.125e-5),
        (490_000, 1.5625e-5),
        (499_999, 1.5625e-5),
    ],
)
def test_the_classic_recipe_is_the_published_schedule(iteration: int, expected: float) -> None:
    recipe = read_recipe("classic")
    assert recipe.iterations == 500_000
    assert recipe.optimizer.lr * recipe.schedule.rate(iteration / recipe.iterations) == pytest.approx(expected)


def test_one_cycle_rises_and_falls() -> None:
    schedule = Schedule("one-cycle", warmup=0.1, last=0.02)
    values = [schedule.rate(i / 1000) for i in range(1001)]
    assert values[0] == 0
    assert values[100] == 1
    assert values[550] == pytest.approx(0.51)  # half way down
    assert values[-1] == pytest.approx(0.02)
    assert values[:101] == sorted(values[:101])
    assert values[100:] == sorted(values[100:], reverse=True)


def test_the_classic_recipe_is_the_default() -> None:
    classic = read_recipe("classic")
    assert replace(classic, data=replace(classic.data, workers=4), checkpoint_every=1000) == Recipe(model="ESC")


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_name_what_exists(name: str) -> None:
    recipe = read_recipe(name)
    make_maker(recipe.data.pairs, recipe.scale, recipe.data.patch, recipe.data.options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.fodlers=a", r"data\.fodlers: unknown; did you mean folders\? known are folders, shares"),
        ("ema=2", r"ema: 2\.0 must be from 0 to 1"),
        ("iterations=1.5", r"iterations: 1\.5 is not a whole number"),
        ("iterations=0", "iterations: 0 must be above 0"),
        ("precision=half", "precision: 'half' is not one of float32, bfloat16, float16"),
        ("schedule.kind=step", r"schedule\.kind: 'step' is not one of multi-step, one-cycle"),
        ("optimizer.lr=fast", r"optimizer\.lr: 'fast' is not a number"),
        ("schedule.factor=-0.5", r"schedule\.factor: -0\.5 must be from 0 to 1"),
        ("optimizer.clip=-1", r"optimizer\.clip: -1\.0 must not be below 0"),
        ("loss.l1=-1", r"loss\.l1: -1\.0 must not be below 0"),
        ("optimizer.betas=0.9", r"optimizer\.betas: \[0\.9\] must be two numbers"),
        ("data=photos", "data: 'photos' is no mapping"),
        ("model=", "model: None is not"),
        ("loss={l1: 0}", r"loss: all of its terms are 0; give one a weight"),
        ("loss={l2: 1, gan: 0.1}", r"loss\.l2: 1 goes with loss\.l1 only"),
    ],
)
def test_a_wrong_entry_is_named(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe("nano", dict([parse_change(change)]))
    assert "\n" not in str(caught.value)


def test_recipes_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe 'clasic'; name a file, or one of .*classic"):
        read_recipe("clasic")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RecipeError, match="is no mapping"):
        read_recipe(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(RecipeError, match="can't read the recipe"):
        read_recipe(tmp_path / "broken.yaml")
    with pytest.raises(RecipeError, match=r"write entry=value, such as optimizer\.lr=1e-4"):
        parse_change("optimizer.lr")


def test_yaml_floats_without_a_point_are_numbers() -> None:
    assert read_recipe("nano", dict([parse_change("optimizer.lr=1e-4")])).optimizer.lr == 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "ESC-tiny"}, "model: 'ESC-tiny' is not one of ESC, ESC-lt"),
        ({"model": {"like": "ESC", "depth": 3}}, r"model\.depth: unknown; known are like, dim"),
        ({"model": {"like": "ESC", "num_heads": 7}}, "model: dim=64 is not a multiple of num_heads=7"),
        ({"model": "ESC-Real", "scale": 2}, "scale: 2 is none of ESC-Real, which makes images 4 times larger"),
        ({"model": "ESC-lt", "init": "esc-nano-x2"}, "init: 'esc-nano-x2' is another network .* dim 32, not 64"),
        ({"init": "esc-nano-x22"}, "there is no model 'esc-nano-x22'; did you mean"),
    ],
)
def test_a_start_that_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(EscError, match=message):
        start_network(read_recipe("nano", changes))


@pytest.mark.parametrize("name", ["ESC", "ESC-lt", "ESC-FP"])
def test_networks_by_name(name: str) -> None:
    network, init = start_network(read_recipe("nano", {"model": name, "scale": 3}))
    assert network.config == released(name, 3)
    assert init is None


def test_a_start_from_a_model_is_that_model() -> None:
    network, _ = start_network(read_recipe("nano", {"init": "esc-nano-x2"}))
    expected = load_model("esc-nano-x2").network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_a_start_without_a_model_is_the_same_each_time() -> None:
    states = [start_network(read_recipe("nano"))[0].state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("target", [2, 3, 4])
def test_another_scale_interpolates_the_grid_of_sub_pixels(target: int) -> None:
    bias = torch.randn(12)
    found = rescale_subpixels(bias, 2, target).view(3, target, target)
    for channel in range(3):  # the oracle: bilinear interpolation of a 2 x 2 picture, written out
        grid = bias.view(3, 2, 2)[channel]
        at = ((torch.arange(target) + 0.5) * 2 / target - 0.5).clamp(0, 1)
        rows = grid[0] + at[:, None] * (grid[1] - grid[0])
        expected = rows[:, :1] + at[None, :] * (rows[:, 1:] - rows[:, :1])
        torch.testing.assert_close(found[channel], expected)


def test_a_scale_that_the_head_has_not_is_one_line(tmp_path: Path) -> None:
    config = replace(small_config(), head="neosr", conv_norms=True)
    Model(ESC(config).eval(), config, "doubling", "test", "").save_pretrained(tmp_path)
    recipe = replace(read_recipe("nano"), model="", init=str(tmp_path / "doubling.safetensors"), scale=3)
    with pytest.raises(RecipeError, match="is for scale 2, which a head like its can't take to 3"):
        start_network(recipe)


def test_a_head_that_cannot_be_is_one_line() -> None:
    with pytest.raises(RecipeError, match=r"model: head='magic' is not one of bicubic"):
        start_network(replace(read_recipe("nano"), model={"like": "ESC-nano", "head": "magic"}))


def test_another_scale_shows_nearly_the_same_picture() -> None:
    x2 = start_network(read_recipe("nano", {"init": "esc-nano-x2"}))[0].eval()
    x4 = start_network(read_recipe("nano", {"init": "esc-nano-x2", "scale": 4}))[0].eval()
    low = torch.rand(1, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    with torch.no_grad():
        a, b = x2(low), torch.nn.functional.avg_pool2d(x4(low), 2)
    # Averaging 2 x 2 sub-pixels of the interpolated grid blurs it a little; the picture itself is the same.
    assert (a - b).abs().mean() < 0.01


@given(scale=st.sampled_from([2, 3, 4]), data=st.data())
@settings(max_examples=15)
def test_a_reduced_patch_is_a_patch_of_the_reduced_image(scale: int, data: st.DataObject) -> None:
    patch = 6
    rows, columns = (data.draw(st.integers(patch, patch + 4)) for _ in range(2))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    image = rng.integers(0, np.iinfo(dtype).max, (rows * scale, columns * scale, 3), dtype, endpoint=True)
    top, left = (data.draw(st.integers(0, n - patch)) for n in (rows, columns))
    maker = Bicubic(scale, patch)
    low, high = maker.make(patch_of(image, top * scale, left * scale, patch * scale, maker.margin), rng)
    whole = imresize(image, (rows, columns))[top : top + patch, left : left + patch]
    limit = np.iinfo(dtype).max
    assert np.array_equal(np.rint(low.permute(1, 2, 0).double().numpy() * limit), whole)
    expected = image[top * scale :][: patch * scale, left * scale :][:, : patch * scale]
    assert np.array_equal(np.rint(high.permute(1, 2, 0).double().numpy() * limit), expected)


@given(margin=st.integers(0, 9), top=st.integers(0, 3), left=st.integers(0, 2))
@settings(max_examples=15)
def test_beyond_the_border_lies_the_mirror_image(margin: int, top: int, left: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (7, 6, 1), np.uint8)
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    size = 4
    expected = padded[top : top + size + 2 * margin, left : left + size + 2 * margin]
    assert np.array_equal(patch_of(image, top, left, size, margin), expected)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder with an RGB, a gray 16-bit and an RGBA image, one of them deeper inside."""
    rng = np.random.default_rng(0)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), np.uint8)).save(tmp_path / "in" / "a.png")
    tifffile.imwrite(
        tmp_path / "in" / "deep" / "b.tif", rng.integers(100, 300, (2, 60, 40), np.uint16), photometric="minisblack"
    )
    Image.fromarray(rng.integers(0, 255, (64, 64, 4), np.uint8)).save(tmp_path / "in" / "c.avif", quality=90)
    return tmp_path / "in"


def test_images_are_decoded_once(photos: Path, tmp_path: Path) -> None:
    paths = find_originals([photos])
    images = open_images(paths, tmp_path / "cache", 8)
    assert [image.shape for image in images] == [(40, 50, 3), (64, 64, 3), (60, 40, 1), (60, 40, 1)]
    assert [str(image.dtype) for image in images] == ["uint8", "uint8", "uint16", "uint16"]
    deep = np.concatenate([images[2], images[3]])
    # 100 to 299 as a network sees them, in the levels of each file.
    assert deep.min() < 0.1 * 65535
    assert deep.max() > 0.9 * 65535
    assert np.array_equal(images[0], np.asarray(Image.open(photos / "a.png")))
    before = images.file.stat().st_mtime_ns
    again = pickle.loads(pickle.dumps(open_images(paths, tmp_path / "cache", 8)))
    assert again.file.stat().st_mtime_ns == before
    assert np.array_equal(again[3], images[3])
    (photos / "a.png").touch()  # another image, as far as one can tell
    assert open_images(paths, tmp_path / "cache", 8).file != images.file


def test_training_on_what_the_upscaler_sees(photos: Path) -> None:
    """16-bit planes are stretched alike, so that they stay comparable."""
    planes = list(read_planes(photos / "deep" / "b.tif"))
    stored = tifffile.imread(photos / "deep" / "b.tif").astype(np.float64)
    low, high = Upscaler.levels(stored, axes="QYX")[0].pair
    expected = np.rint(((stored - low) / (high - low)).clip(0, 1) * 65535)
    assert np.abs(np.stack(planes)[..., 0] - expected).max() <= 1


def test_images_that_cannot_be(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"there is no folder '.*nowhere'"):
        find_originals([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"there are no images in the folder '.*empty'"):
        find_originals([tmp_path / "empty"])
    with pytest.raises(ImageError, match=r"'.*a\.png' is 50 x 40 pixels; the recipe's patches need 48 x 48"):
        open_images(find_originals([photos]), tmp_path / "cache", 48)
    tifffile.imwrite(photos / "deep" / "c.tif", np.full((20, 20), np.nan, np.float32), photometric="minisblack")
    with pytest.raises(ImageError, match=r"can't train on '.*c\.tif': the image holds NaN"):
        open_images(find_originals([photos]), tmp_path / "cache", 8)
    (photos / "d.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"d\.png' is no image"):
        open_images(find_originals([photos]), tmp_path / "cache", 8)


def test_a_batch_follows_from_its_number(photos: Path, tmp_path: Path) -> None:
    images = open_images(find_originals([photos]), tmp_path / "cache", 16)
    batches = Batches(images, Bicubic(2, 8), 6, seed=3)
    low, high = batches[7]
    assert low.shape == (6, 3, 8, 8)
    assert high.shape == (6, 3, 16, 16)
    assert low.dtype == torch.float32
    batches[2], batches[8]
    assert torch.equal(pickle.loads(pickle.dumps(batches))[7][1], high)
    assert not torch.equal(batches[8][1], high)
    assert not torch.equal(Batches(images, Bicubic(2, 8), 6, seed=4)[7][1], high)
    shares = [Batches(images, Bicubic(2, 8), 6, seed=3, rank=rank, world=3)[7][1] for rank in range(3)]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), high)  # together the devices see the same batch


def test_batches_go_on_where_they_are() -> None:
    numbers = iter(From(lambda: 40))
    assert [next(numbers) for _ in range(3)] == [40, 41, 42]


@pytest.mark.parametrize("name", MAKERS)
def test_every_maker_is_a_pure_function(name: str) -> None:
    check_maker(name)


def check_maker(name: str) -> None:
    maker = make_maker(name, 4 if name == "real" else 2, 16, {})
    size = maker.size(np.random.default_rng(0)) + 2 * maker.margin
    for dtype, channels in ((np.uint8, 3), (np.uint16, 1)):
        hr = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (size, size, channels), dtype)
        before = hr.copy()
        low, high = maker.make(hr, np.random.default_rng(2))
        again = maker.make(hr, np.random.default_rng(2))
        assert np.array_equal(hr, before)
        assert torch.equal(low, again[0])
        assert torch.equal(high, again[1])
        assert low.shape[0] in (channels, 3)  # a colour camera's noise isn't gray
        assert low.shape[1:] == (16, 16)
        assert high.shape[0] in (channels, 3)
        assert high.shape[1:] == (size - 2 * maker.margin, size - 2 * maker.margin)
        assert low.dtype == high.dtype == torch.float32
        assert min(low.min(), high.min()) >= 0
        assert max(low.max(), high.max()) <= 1


def test_a_degradation_is_added_as_the_guide_says(monkeypatch: pytest.MonkeyPatch, photos: Path, tmp_path: Path) -> None:
    dark = module_of_the_guide("A training degradation", "esc_plugin.train.pairs.dark", tmp_path, monkeypatch)
    monkeypatch.setitem(MAKERS, "dark", dark.Dark)
    check_maker("dark")
    recipe = read_recipe("nano", dict(map(parse_change, ["data.pairs=dark", "data.options.gain=0.25", "data.patch=8"])))
    maker = make_maker(recipe.data.pairs, recipe.scale, recipe.data.patch, recipe.data.options)
    low, high = Batches(open_images(find_originals([photos]), tmp_path / "cache", 16), maker, 4, seed=0)[0]
    torch.testing.assert_close(low, 0.25 * torch.nn.functional.avg_pool2d(high, 2))
    with pytest.raises(RecipeError, match=r"data\.options: gain=3 must be above 0 and at most 1\."):
        make_maker("dark", 2, 8, {"gain": 3})
    with pytest.raises(RecipeError, match=r"data\.options\.gian: unknown; dark knows gain"):
        make_maker("dark", 2, 8, {"gian": 3})


def test_pair_options_are_checked() -> None:
    with pytest.raises(RecipeError, match=r"data\.pairs: 'lanczos' is not one of bicubic, photo"):
        make_maker("lanczos", 2, 8, {})
    with pytest.raises(RecipeError, match=r"data\.options\.sigma: unknown; bicubic knows none"):
        make_maker("bicubic", 2, 8, {"sigma": 1})


@pytest.mark.parametrize("weights", [{"l1": 1}, {"l1": 0, "l2": 1}, {"l1": 0.5, "l2": 2}])
def test_the_loss_is_the_sum_of_its_terms(weights: dict[str, float]) -> None:
    from esc_plugin.train.training import Training

    training = Training(ESC(small_config()), read_recipe("nano", {"loss": weights}))
    low, high = torch.rand(2, 3, 12, 12), torch.rand(2, 3, 24, 24)
    error = training(low, (24, 24)) - high
    expected = weights["l1"] * error.abs().mean() + weights.get("l2", 0) * (error**2).mean()
    assert training.training_step((low, high), 0).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_average_is_the_exponential_one() -> None:
    from esc_plugin.train.training import Training

    training = Training(ESC(small_config()), read_recipe("nano", {"ema": 0.9}))
    expected = None
    for count in range(200):
        with torch.no_grad():
            for parameter in training.network.parameters():
                parameter += torch.randn_like(parameter)
        training.average.update_parameters(training.network)
        now = copy.deepcopy(training.network.state_dict())
        # Plainly: it begins with the first weights; then the new ones replace some of the old, in the end a tenth.
        kept = min(0.9, (1 + count) / (10 + count))
        expected = now if expected is None else {k: kept * expected[k] + (1 - kept) * now[k] for k in now}
    for name, value in training.average.module.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_attention_with_a_trained_bias_has_the_right_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "CHUNK", 2 * 81 * 2)  # 2 windows at a time, the last one alone
    qkv = [torch.randn(5, 2, 9, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias = torch.randn(2, 9, 9, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attention.BiasedAttention.apply, (*qkv, bias))


def test_a_network_in_training_computes_the_same() -> None:
    network = ESC(EscConfig(dim=16, pdim=8, kernel_size=5, n_blocks=1, conv_blocks=2, window_size=8, num_heads=2)).eval()
    image = torch.rand(2, 3, 11, 17)
    with torch.no_grad():
        expected = network(image)
    torch.testing.assert_close(network.train()(image).detach(), expected)
