"""The parts of adversarial training, and what a step does to which weights."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from esc_plugin.arrays.filters import sharpen
from esc_plugin.catalog.load import load_model
from esc_plugin.errors import EscError
from esc_plugin.network import ESC
from esc_plugin.train import gan
from esc_plugin.train.gan import VGG_LAYERS, Discriminator, GanTraining, Perceptual
from esc_plugin.train.recipe import Recipe, RecipeError, read_recipe
from esc_plugin.train.run import train

from .small import noise_photos, small_config, stop_at


@pytest.mark.parametrize("size", [(8, 8), (32, 48), (37, 21)])
def test_the_discriminator_judges_every_pixel(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    assert Discriminator(8)(image).shape == (2, 1, *size)


def test_its_convolutions_have_spectral_norm_one() -> None:
    discriminator = Discriminator(8).train()
    for _ in range(50):  # each pass is one step of the power iteration
        discriminator(torch.rand(1, 3, 16, 16))
    for layer in [*discriminator.down, *discriminator.up, *discriminator.last]:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert largest.item() == pytest.approx(1, rel=0.05)


def test_the_discriminator_has_the_published_size() -> None:
    """4.4 million: what Real-ESRGAN's U-Net has with 64 channels."""
    expected = 3 * 64 * 9 + 64  # the first convolution
    expected += 16 * (64 * 128 + 128 * 256 + 256 * 512)  # downwards
    expected += 9 * (512 * 256 + 256 * 128 + 128 * 64 + 2 * 64 * 64) + 64 * 9 + 1  # upwards, the last ones, the verdict
    assert sum(p.numel() for p in Discriminator().parameters()) == expected


@pytest.fixture(scope="module")
def random_features() -> Perceptual:
    pytest.importorskip("torchvision", reason="needs torchvision")
    torch.manual_seed(0)
    return Perceptual(pretrained=False)


def test_the_perceptual_distance_is_that_of_five_layers(random_features) -> None:
    from torchvision.models import VGG19_Weights

    assert max(VGG_LAYERS) == 34
    found, expected = torch.rand(2, 1, 3, 32, 32)
    normalize = VGG19_Weights.IMAGENET1K_V1.transforms()  # of torchvision: the mean and deviation it was trained with
    x, y = (
        (image - torch.tensor(normalize.mean).view(3, 1, 1)) / torch.tensor(normalize.std).view(3, 1, 1)
        for image in (found, expected)
    )
    total = 0.0
    for number, layer in enumerate(random_features.layers):
        x, y = layer(x), layer(y)
        if number in (2, 7, 16, 25, 34):
            assert isinstance(layer, torch.nn.Conv2d)
            total += (0.1 if number in (2, 7) else 1) * F.l1_loss(x, y).item()
    assert random_features(found, expected).item() == pytest.approx(total, rel=1e-5)
    assert random_features(expected, expected).item() == 0


def test_its_gradient_reaches_the_image_only(random_features) -> None:
    found, expected = torch.rand(2, 1, 3, 16, 16).requires_grad_(True).unbind()
    found.retain_grad()
    expected.retain_grad()
    random_features(found, expected).backward()
    assert found.grad is not None
    assert found.grad.abs().max() > 0
    assert expected.grad is None
    assert all(p.grad is None for p in random_features.parameters())


def test_without_torchvision_the_error_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(EscError, match="pip install torchvision"):
        gan.vgg19_layers(pretrained=True)


def test_what_the_loss_needs_is_asked_for_before_images_are_read(photos: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    monkeypatch.setattr("esc_plugin.train.run.open_images", lambda *_: pytest.fail("images were read"))
    with pytest.raises(EscError, match="install it with: pip install torchvision"):
        train(gan_recipe(**{"loss.perceptual": 1, "data.folders": [str(photos)]}), tmp_path / "a")


def test_without_a_connection_the_error_says_where_to_put_the_weights(monkeypatch) -> None:
    models = pytest.importorskip("torchvision.models", reason="needs torchvision")
    from urllib.error import URLError

    def offline(**_):
        raise URLError("no route to host")

    monkeypatch.setattr(models, "vgg19", offline)
    with pytest.raises(EscError, match=r"vgg19-dcbb9e9d\.pth into .*checkpoints"):
        gan.vgg19_layers(pretrained=True)


def gan_recipe(**changes) -> Recipe:
    entries = {
        "model": small_config().to_dict() | {"like": "ESC"},
        "scale": 2,
        "data.patch": 16,
        "data.batch": 2,
        "data.workers": 0,
        "loss.perceptual": 0,
        "precision": "float32",
        "iterations": 4,
    }
    entries["model"].pop("scale")
    return read_recipe("real-gan", entries | changes)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return noise_photos(tmp_path / "photos", (64, 80))


def test_the_network_is_trained_against_the_discriminator_and_not_it_for_the_network() -> None:
    training = GanTraining(ESC(small_config()), gan_recipe())
    high, low = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 16, 16)
    found = training(low, (32, 32))
    training.discriminator.requires_grad_(False)
    training._network_loss(found, high).backward()
    assert all(p.grad is None for p in training.discriminator.parameters())
    assert all(p.grad is not None for p in training.network.parameters())
    assert set(training.losses) == {"l1", "gan"}
    training.discriminator.requires_grad_(True)
    before = [p.grad.clone() for p in training.network.parameters()]
    training._discriminator_loss(found.detach(), high).backward()
    assert all(p.grad is not None for p in training.discriminator.parameters())
    assert all(torch.equal(p.grad, b) for p, b in zip(training.network.parameters(), before, strict=True))


def test_a_network_that_fools_the_discriminator_has_the_lower_loss() -> None:
    training = GanTraining(ESC(small_config()), gan_recipe())
    high = torch.rand(1, 3, 32, 32)
    training.discriminator.verdict.bias.data.fill_(5.0)
    fooled = training._network_loss(high, high)
    training.discriminator.verdict.bias.data.fill_(-5.0)
    assert fooled < training._network_loss(high, high)


def test_terms_are_weighted_and_sharpened_as_the_recipe_says() -> None:
    recipe = gan_recipe(**{"loss.l1": 2.0, "loss.gan": 0.5})
    training = GanTraining(ESC(small_config()), recipe)
    found, high = torch.rand(2, 1, 3, 32, 32)
    loss = training._network_loss(found, high)
    assert training.losses["l1"].item() == pytest.approx(F.l1_loss(found, sharpen(high)).item())
    expected = 2 * training.losses["l1"] + 0.5 * training.losses["gan"]
    assert loss.item() == pytest.approx(expected.item())


def test_half_precision_is_refused() -> None:
    with pytest.raises(RecipeError, match="'float16' is too coarse"):
        GanTraining(ESC(small_config()), gan_recipe(precision="float16"))


def test_a_stopped_training_goes_on_as_if_it_had_not_been(photos: Path, tmp_path: Path, monkeypatch) -> None:
    recipe = gan_recipe(**{"data.folders": [str(photos)]})
    train(recipe, tmp_path / "whole")
    stop_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts")
    monkeypatch.undo()
    train(recipe, tmp_path / "parts", resume=True)
    whole, parts = (torch.load(tmp_path / n / "last.ckpt", weights_only=True) for n in ("whole", "parts"))
    assert parts["esc"]["iteration"] == 4
    assert any(name.startswith("discriminator.") for name in whole["state_dict"])
    assert len(whole["optimizer_states"]) == 2
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name
    for first, second in zip(whole["optimizer_states"], parts["optimizer_states"], strict=True):
        for number, state in first["state"].items():
            assert all(torch.equal(value, second["state"][number][key]) for key, value in state.items())
    assert load_model(tmp_path / "parts" / "parts.safetensors").scale == 2


def test_features_count_but_are_no_part_of_the_checkpoint(
    photos: Path, tmp_path: Path, random_features, monkeypatch
) -> None:
    monkeypatch.setattr(gan, "Perceptual", lambda: random_features)
    recipe = gan_recipe(**{"data.folders": [str(photos)], "loss.perceptual": 1, "iterations": 1})
    training = GanTraining(ESC(small_config()), recipe)
    training._network_loss(*torch.rand(2, 1, 3, 32, 32))
    assert training.losses["perceptual"] > 0
    train(recipe, tmp_path / "sharp")
    stored = torch.load(tmp_path / "sharp" / "last.ckpt", weights_only=True)["state_dict"]
    assert {name.partition(".")[0] for name in stored} == {"network", "average", "discriminator"}
