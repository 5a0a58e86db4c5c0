"""Every hyper-parameter of every member of the ESC family, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

#: What every network has.
POSITIVE = ("dim", "pdim", "n_blocks", "conv_blocks", "window_size", "num_heads", "scale", "proj_hidden", "conv_hidden")


@dataclass(frozen=True)
class EscConfig:
    """What it takes to build a network; the defaults are ESC x2 as published.

    Attributes
    ----------
    dim, pdim : int
        Feature channels, and how many of them the large kernel mixes.
    kernel_size : int
        Edge of the shared large kernel, odd.
    n_blocks, conv_blocks : int
        Blocks, and ConvAttn layers in each.
    window_size, num_heads : int
        Edge of an attention window in pixels of the feature grid, and its heads.
    scale : int
        Output pixels per input pixel. For ``head="lte"``, which renders any scale, the largest one it was trained for.
    proj_hidden, conv_hidden : int
        Hidden channels of the ConvFFN before the attention and of those in the convolutional part
        (integers, because ``int(dim * ratio)`` can't be inverted).
    conv_norms, last_norm : bool
        A layer norm before each ConvFFN of the convolutional part, and one before the last convolution.
    large_kernel : {"full", "separable"}
        One (pdim, pdim, k, k) filter, or ESC-FP's 1x1 followed by a depthwise k x k.
    position : {"table", "flash", "rib"}
        Relative position table, FlashBias factors, or ESC-RIB's implicit bias with gated output.
    position_rank, rib_hidden, rib_freqs : int
        Rank of the factors; width and number of frequencies of RIB's coordinate network. 0 where unused.
    head : str
        What makes pixels of features: a name in `esc_plugin.network.heads.registry`. Which of the fields below it reads,
        and what they may be, its own file says.
    uni_method, uni_version : str, int
        The method of a "uni" head, and the version of the module that wrote it. Empty and 0 for others.
    mid_dim : int
        Inner channels of the head; of an "lte" head, the number of Fourier coefficients.
    mlp_hidden : tuple of int
        Hidden widths of the head's network of linear layers.
    dysample_kernel : int
        Edge of the convolution after dynamic sampling, 0 where there is none.
    unshuffle : int
        Image pixels folded into one feature pixel along each axis (1 or, for real models of scale 1 or 2, 4 / scale).
    """

    dim: int = 64
    pdim: int = 16
    kernel_size: int = 13
    n_blocks: int = 5
    conv_blocks: int = 5
    window_size: int = 32
    num_heads: int = 4
    scale: int = 2
    proj_hidden: int = 128
    conv_hidden: int = 80
    conv_norms: bool = False
    last_norm: bool = False
    large_kernel: Literal["full", "separable"] = "full"
    position: Literal["table", "flash", "rib"] = "table"
    position_rank: int = 0
    rib_hidden: int = 0
    rib_freqs: int = 0
    head: str = "classic"
    uni_method: str = ""
    uni_version: int = 0
    mid_dim: int = 0
    mlp_hidden: tuple[int, ...] = ()
    dysample_kernel: int = 0
    unshuffle: int = 1

    def __post_init__(self) -> None:
        """Refuse what can't be built or can't run, so that no layer has to fail for it. Heads have checks of their own."""
        for name in POSITIVE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} is not a number from 1 on.")
        if self.dim % self.num_heads:
            raise ValueError(f"dim={self.dim!r} is not a multiple of num_heads={self.num_heads!r}.")
        least = 2 if self.large_kernel == "full" else 4  # the dynamic kernel halves or quarters them
        if not least <= self.pdim <= self.dim:
            raise ValueError(f"pdim={self.pdim!r} is not in {least}..dim={self.dim!r}.")
        if self.position == "rib" and self.rib_freqs < 0:
            raise ValueError(f"rib_freqs={self.rib_freqs!r} is not a number from 0 on.")
        if self.kernel_size % 2 == 0 or self.kernel_size < 3:
            raise ValueError(f"kernel_size={self.kernel_size!r} is not an odd number from 3 on.")

    @property
    def head_scale(self) -> int:
        """Output pixels per feature pixel."""
        return self.scale * self.unshuffle

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from the defaults, as JSON-friendly values, and always the scale."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {
            f.name: list(value) if isinstance(value, tuple) else value
            for f in fields(self)
            if (value := values[f.name]) != f.default or f.name == "scale"
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EscConfig:
        """Invert `to_dict`. Unknown names raise a `ValueError` that lists them."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise ValueError(f"unknown configuration fields {unknown!r}; known are {sorted(known)!r}.")
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


def released(name: str, scale: int = 2) -> EscConfig:
    """Return a configuration that the authors published.

    Parameters
    ----------
    name : {"ESC", "ESC-lt", "ESC-FP", "ESC-XL", "ESC-Real"}
        The name in the paper (Lee et al., ICCV 2025, arXiv 2503.06671).
    scale : int
        2, 3 or 4; ESC-Real exists for 4 only.
    """
    if name == "ESC":
        return EscConfig(scale=scale)
    if name == "ESC-lt":
        return EscConfig(n_blocks=3, scale=scale)
    if name == "ESC-FP":
        return EscConfig(
            dim=48,
            num_heads=3,
            proj_hidden=72,
            conv_hidden=60,
            conv_norms=True,
            last_norm=True,
            large_kernel="separable",
            head="bicubic",
            scale=scale,
        )
    if name == "ESC-XL":
        return EscConfig(
            dim=192,
            pdim=48,
            n_blocks=8,
            window_size=48,
            num_heads=12,
            proj_hidden=384,
            conv_hidden=240,
            conv_norms=True,
            scale=scale,
        )
    if name == "ESC-Real":
        return EscConfig(n_blocks=10, conv_hidden=128, conv_norms=True, head="real", scale=4)
    raise ValueError(f"unknown ESC {name!r}; known are ESC, ESC-lt, ESC-FP, ESC-XL and ESC-Real.")
