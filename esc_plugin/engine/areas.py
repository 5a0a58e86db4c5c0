"""What each step has to compute so that one part of the output comes out: the network as a local one.

Once the means are known, nothing couples distant pixels but halos and windows. Walked backwards, a program says which pixels
of each map later steps still read. The parts shrink from step to step, towards the one that was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..network.grid import Geometry, Region
from ..network.program import Program


def areas_for(program: Program, geometry: Geometry, wanted: Region, asks: Mapping[str, int] | None = None) -> list[Region]:
    """Return the pixels of the feature grid that each step computes.

    Parameters
    ----------
    wanted : Region
        What the last step shall compute, in pixels of the feature grid.
    asks : mapping of str to int, optional
        How far the last step's reads really went, where that depends on the data.
    """
    found: list[Region] = []
    needed = {program.steps[-1].writes: wanted}
    for step in reversed(program.steps):
        area = needed.pop(step.writes).aligned(step.multiple, geometry.grid)
        found.append(area)
        for name, halo in step.reads.items():
            halo = max(halo, step.asks.get(name, 0), (asks or {}).get(name, 0) if len(found) == 1 else 0)
            needed[name] = area.grow(halo, geometry.grid).hull(needed.get(name))
    return found[::-1]


def image_area(program: Program, geometry: Geometry, areas: Sequence[Region]) -> Region:
    """Return the pixels of the image that steps read while they compute their `areas`."""
    region: Region | None = None
    for step, area in zip(program.steps, areas, strict=True):
        if "image" in step.reads:
            region = geometry.image_region(area.grow(step.reads["image"], geometry.grid)).hull(region)
    assert region is not None  # every program begins with the image
    return region
