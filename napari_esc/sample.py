"""Sample data: the core's synthetic cells, as layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

COLORMAPS = {"nuclei": "bop blue", "filaments": "bop orange"}


def fluorescence_stack(planes: int = 12, edge: int = 320, seed: int = 7) -> list[tuple[np.ndarray, dict[str, Any], str]]:
    """Return two image layers: nuclei, and the filaments of the cells around them.

    Parameters
    ----------
    planes, edge, seed : int
        Planes, rows and columns of each, and what makes all that is random; see `esc_plugin.arrays.synthetic`.

    Returns
    -------
    list of tuple
        Layer data for napari: (Z, Y, X) uint16, with scale and units in micrometers.
    """
    from esc_plugin.arrays.synthetic import VOXEL, fluorescence, usual_limits

    shared = {
        "scale": VOXEL,
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
        "blending": "additive",
        "metadata": {"description": "Synthetic: no microscope and no cell was involved."},
    }
    return [
        (data, {**shared, "name": name, "colormap": COLORMAPS[name], "contrast_limits": usual_limits(name)}, "image")
        for name, data in fluorescence(planes, edge, seed).items()
    ]
