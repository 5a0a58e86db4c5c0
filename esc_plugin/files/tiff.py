"""TIFF: any type, any axes, and the kinds of it that ImageJ and OME have."""

from __future__ import annotations

import re

from .format import USUAL, Format
from .tiff_read import read_tiff, read_tiff_by_region, xmp_of_tiff
from .tiff_write import check_tiff, write_tiff

TIFF = Format(
    "TIFF",
    (".tif", ".tiff"),
    starts=re.compile(rb"II[*+]\0|MM\0[*+]"),
    read=read_tiff,
    read_lazily=read_tiff_by_region,
    packet=xmp_of_tiff,
    write=write_tiff,
    check=check_tiff,
    exact=True,
    keeps=USUAL | {"TIFF metadata", "resolution", "pixel size"},
    inner_suffix=".ome",
)
