"""The napari door: `upscale_layer` for notebooks and scripts, a panel, menu commands, sample data and writers.

Importing it imports neither torch nor Qt. Arrays are the core's work; what is done here is to say where a result lies
(`geometry`), what it looks like (`order`, `layers`), and to keep the window alive meanwhile (`jobs`).
"""

from .layers import upscale_layer, upscale_layers

__all__ = ["upscale_layer", "upscale_layers"]
