"""The parts of adversarial training, and what a step does to which weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from esc_plugin.errors import EscError
from esc_plugin.train import gan
from esc_plugin.train.gan import VGG_LAYERS, Discriminator, Perceptual


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
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    with pytest.raises(EscError, match="pip install torchvision"):
        gan.vgg19_layers(pretrained=True)


def test_without_a_connection_the_error_says_where_to_put_the_weights(monkeypatch) -> None:
    models = pytest.importorskip("torchvision.models", reason="needs torchvision")
    from urllib.error import URLError

    def offline(**_):
        raise URLError("no route to host")

    monkeypatch.setattr(models, "vgg19", offline)
    with pytest.raises(EscError, match=r"vgg19-dcbb9e9d\.pth into .*checkpoints"):
        gan.vgg19_layers(pretrained=True)
