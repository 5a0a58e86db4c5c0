"""Image files in, image files out, with all that they carry."""

from .picture import Picture, empty_array
from .read import made_by, read_picture, read_provenance
from .write import check_target, write_picture

__all__ = [
    "Picture",
    "check_target",
    "empty_array",
    "made_by",
    "read_picture",
    "read_provenance",
    "write_picture",
]
