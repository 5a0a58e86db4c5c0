"""ESC for spandrel, which is what ComfyUI's own upscale nodes, and most others, load and run models with."""

from __future__ import annotations

from spandrel import MAIN_REGISTRY, Architecture, ArchRegistry, ArchSupport, ImageModelDescriptor, ModelTiling, StateDict
from torch import Tensor

from ..esc_plugin.network import ESC, EscConfig
from ..esc_plugin.weights.checkpoint import check_finite
from ..esc_plugin.weights.model import build_network
from .recognize import is_esc, parameters


class EscArch(Architecture[ESC]):
    """Every network of the family, in every dialect that the package knows."""

    def __init__(self) -> None:
        super().__init__(id="ESC", name="ESC", detect=is_esc)

    def load(self, state_dict: StateDict) -> ImageModelDescriptor[ESC]:
        """Build the network of a state dict that `is_esc` accepted.

        Raises
        ------
        CheckpointError
            If it is damaged or of an unknown kind.
        """
        state = parameters(state_dict)
        check_finite(state, "the model")  # it would make black images
        return describe(build_network(state), self)


def register(registry: ArchRegistry = MAIN_REGISTRY) -> None:
    """Teach spandrel to load ESC. A second call changes nothing."""
    registry.add(ArchSupport.from_architecture(EscArch()), ignore_duplicates=True)


def describe(network: ESC, architecture: Architecture[ESC] | None = None) -> ImageModelDescriptor[ESC]:
    """Put a network into the descriptor that goes over ComfyUI's ``UPSCALE_MODEL`` wires.

    It takes and returns (B, 3, H, W) in 0..1, any H and W from 1 on, in the dtype of the network. A network for any scale
    upscales by the largest factor it was trained for.
    """
    scale = network.config.scale
    return ImageModelDescriptor(
        network,
        network.state_dict(),
        architecture=architecture or EscArch(),
        purpose="SR" if scale > 1 else "Restoration",
        tags=tags(network.config),
        supports_half=True,
        supports_bfloat16=True,
        scale=scale,
        input_channels=3,
        output_channels=3,
        # Attention windows lie on a fixed grid and the dynamic kernels average over the whole image: in tiles, it is another
        # function.
        tiling=ModelTiling.DISCOURAGED,
        call_fn=_call,
    )


def tags(config: EscConfig) -> list[str]:
    """Name what tells one member of the family from another, the way spandrel's own architectures do."""
    return [f"{config.dim}dim", f"{config.n_blocks}nb", f"{config.window_size}win", config.uni_method or config.head]


def _call(network: ESC, image: Tensor) -> Tensor:
    # The network's output is float32 whatever its own precision; callers of a descriptor expect theirs.
    output: Tensor = network(image)
    return output.to(image.dtype)
