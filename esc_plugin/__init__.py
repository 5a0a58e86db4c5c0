"""Super-resolution with ESC (Emulating Self-attention with Convolution, ICCV 2025): any ESC file, an image of any size.

The public names are loaded when they are first used, so that importing this package doesn't import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import Cancelled, CheckpointError, EscError, HubError, ImageError
from .version import __version__

if TYPE_CHECKING:
    from .catalog.load import load_model
    from .catalog.manifest import CatalogEntry
    from .catalog.menu import list_models
    from .mixture import Mixture
    from .upscaler import Upscaler, upscale
    from .weights.model import Model

__all__ = [
    "Cancelled",
    "CatalogEntry",
    "CheckpointError",
    "EscError",
    "HubError",
    "ImageError",
    "Mixture",
    "Model",
    "Upscaler",
    "__version__",
    "list_models",
    "load_model",
    "upscale",
]

_HOMES = {
    "Mixture": ".mixture",
    "Upscaler": ".upscaler",
    "upscale": ".upscaler",
    "CatalogEntry": ".catalog.manifest",
    "list_models": ".catalog.menu",
    "Model": ".weights.model",
    "load_model": ".catalog.load",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
