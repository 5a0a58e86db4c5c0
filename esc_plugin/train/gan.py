"""Training against a discriminator: L1, features of VGG19 that should agree, and a U-Net that judges.

It is the second stage of Real-ESRGAN (Wang et al., ICCV Workshops 2021, arXiv 2107.10833).
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..errors import EscError
from ..network import ESC
from .recipe import Recipe, RecipeError
from .training import Batch, Training

#: Layers of torchvision's VGG19 before their ReLU, and what their difference counts: conv1_2, 2_2, 3_4, 4_4 and 5_4.
VGG_LAYERS = {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Discriminator(nn.Module):
    """A U-Net that says of each pixel whether it is real, with spectral norms (Schönfeld et al., CVPR 2020).

    Parameters
    ----------
    dim : int
        Channels at full size.
    """

    def __init__(self, dim: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, dim, 3, padding=1)
        self.down = nn.ModuleList(_normed(dim * 2**i, dim * 2 ** (i + 1), 4, stride=2) for i in range(3))
        self.up = nn.ModuleList(_normed(dim * 2 ** (i + 1), dim * 2**i, 3) for i in (2, 1, 0))
        self.last = nn.ModuleList([_normed(dim, dim, 3), _normed(dim, dim, 3)])
        self.verdict = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1, H, W), above 0 where it looks real; H and W from 8 on."""
        x = F.leaky_relu(self.first(image), 0.2)
        skips = [x]
        for layer in self.down:
            skips.append(F.leaky_relu(layer(skips[-1]), 0.2))
        x = skips.pop()
        for layer in self.up:
            skip = skips.pop()
            x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = F.leaky_relu(layer(x), 0.2) + skip
        for layer in self.last:
            x = F.leaky_relu(layer(x), 0.2)
        verdict: Tensor = self.verdict(x)
        return verdict


def _normed(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
    return spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False))


class Perceptual(nn.Module):
    """The distance of two images in the features of VGG19 (Johnson et al., ECCV 2016), trained on ImageNet.

    Parameters
    ----------
    pretrained : bool
        Random features otherwise, for tests.

    Raises
    ------
    EscError
        If torchvision isn't installed, or can't download its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        layers = vgg19_layers(pretrained)
        self.layers = nn.Sequential(*list(layers)[: max(VGG_LAYERS) + 1]).eval().requires_grad_(False)
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # the values before it are what is compared
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, found: Tensor, expected: Tensor) -> Tensor:
        """(B, 3, H, W) twice, in 0..1, H and W from 16 on -> the distance; gradients flow to the first."""
        total = found.new_zeros(())
        x, y = ((image - self.mean) / self.std for image in (found, expected.detach()))
        for number, layer in enumerate(self.layers):
            x, y = layer(x), layer(y)
            if number in VGG_LAYERS:
                total = total + VGG_LAYERS[number] * F.l1_loss(x, y)
        return total


def vgg19_layers(pretrained: bool) -> nn.Sequential:
    """Return the convolutional part of torchvision's VGG19; see `Perceptual`."""
    try:
        from torchvision.models import VGG19_Weights, vgg19
    except ImportError:
        raise EscError("the perceptual loss needs torchvision; install it with: pip install torchvision") from None
    try:
        features: nn.Sequential = vgg19(weights=VGG19_Weights.IMAGENET1K_V1 if pretrained else None).features
    except OSError as error:  # URLError and time-outs are such
        raise EscError(
            f"the weights of VGG19 can't be downloaded ({error}); "
            f"put {VGG19_Weights.IMAGENET1K_V1.url} into {torch.hub.get_dir()}/checkpoints, or set loss.perceptual to 0."
        ) from None
    return features


class GanTraining(Training):
    """Fit a network to pairs, to their features, and against a discriminator that is trained beside it.

    Attributes
    ----------
    discriminator : Discriminator
        It, its optimizer and the vectors of its spectral norms are part of the checkpoint.
    """

    def __init__(self, network: ESC, recipe: Recipe) -> None:
        super().__init__(network, recipe)
        if recipe.precision == "float16":
            raise RecipeError("precision: 'float16' is too coarse for a discriminator; take bfloat16 or float32.")
        self.automatic_optimization = False  # Lightning's name for one optimizer, stepped by Lightning
        self.discriminator = Discriminator()
        # In a tuple, so that it isn't part of the checkpoint: 80 MB that never change.
        self.perceptual: tuple[Perceptual, ...] = (Perceptual(),) if recipe.loss.perceptual else ()

    def configure_optimizers(self) -> Any:
        """Two of the recipe's optimizers: for the network and for the discriminator."""
        return [self.adamw(self.network), self.adamw(self.discriminator)]

    def on_fit_start(self) -> None:
        """Move what Lightning doesn't know."""
        for module in self.perceptual:
            module.to(self.device)

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """Step the network, then the discriminator; return the network's loss."""
        low, high = batch
        found = self(low, cast("tuple[int, int]", tuple(high.shape[-2:])))
        for_network, for_discriminator = cast("list[Any]", self.optimizers())
        self.discriminator.requires_grad_(False)
        loss = self._network_loss(found, high)
        self._step(for_network, loss)
        self.losses["loss"] = loss.detach()
        self.discriminator.requires_grad_(True)
        if self.recipe.loss.gan:
            judged = self._discriminator_loss(found.detach(), high)
            self._step(for_discriminator, judged)
            self.losses["discriminator"] = judged.detach()
        return loss.detach()

    def _network_loss(self, found: Tensor, high: Tensor) -> Tensor:
        weights, target = self.recipe.loss, self.target(high)
        terms = {"l1": F.l1_loss(found, target)}
        if weights.perceptual:
            terms["perceptual"] = self.perceptual[0](found, target)
        if weights.gan:
            verdict = self.discriminator(found)
            terms["gan"] = F.binary_cross_entropy_with_logits(verdict, torch.ones_like(verdict))
        self.losses = {name: term.detach() for name, term in terms.items()}
        return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()

    def _discriminator_loss(self, found: Tensor, high: Tensor) -> Tensor:
        real, made = self.discriminator(high), self.discriminator(found)
        return F.binary_cross_entropy_with_logits(real, torch.ones_like(real)) + F.binary_cross_entropy_with_logits(
            made, torch.zeros_like(made)
        )

    def _step(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
