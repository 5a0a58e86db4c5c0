"""The kinds of files that other runtimes load: a table, one module a format."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ..errors import EscError

if TYPE_CHECKING:
    import numpy as np

    from .order import Order

#: What a file computes: a whole image at once, or a crop with means that come from outside.
FORMS = ("whole", "regions")


class Converter(Protocol):
    """What the module of a format offers."""

    def convert(self, order: Order, path: Path) -> None:
        """Write the files of a format, `path` and its companions, into the folder of `path`."""
        ...

    def run(self, path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
        """Run a file in its own runtime."""
        ...

    def describe(self, path: Path, facts: Mapping[str, str]) -> None:
        """Write into a file what it is."""
        ...


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes
    ----------
    name : str
        For people.
    suffix : str
        What its files end in.
    module : str
        Of this package, a `Converter`.
    extra : str
        What must be installed, see `esc_plugin.errors.EXTRAS`.
    companions : tuple of str
        Suffixes of files that belong to it.
    precisions : tuple of str
        What it can be written in.
    open_sizes : bool
        Whether a file may take images of any size.
    small_images : bool
        Whether a file takes images smaller than a window.
    folder : bool
        Whether a "file" is a folder.
    runs : bool
        Whether its runtime is one for this machine, so that a file can be checked.
    """

    name: str
    suffix: str
    module: str
    extra: str
    companions: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("float32",)
    open_sizes: bool = True
    small_images: bool = True
    folder: bool = False
    runs: bool = True

    @property
    def converter(self) -> Converter:
        """The module, which needs the extra."""
        return cast(Converter, import_module(f"..{self.module}", __name__))


FORMATS = (
    Format("ONNX", ".onnx", "onnx", "export", precisions=("float32", "float16", "int8")),
    Format("ncnn", ".param", "ncnn", "ncnn", (".bin", ".json"), ("float32", "float16"), small_images=False),
    Format("ExecuTorch", ".pte", "executorch", "executorch", open_sizes=False),
    Format(
        "Core ML",
        ".mlpackage",
        "coreml",
        "coreml",
        precisions=("float32", "float16"),
        open_sizes=False,
        folder=True,
        runs=sys.platform == "darwin",
    ),
    Format("OpenVINO", ".xml", "openvino", "openvino", companions=(".bin",), precisions=("float32", "float16")),
)
SUFFIXES = tuple(known.suffix for known in FORMATS)
PRECISIONS = tuple(dict.fromkeys(precision for known in FORMATS for precision in known.precisions))


def format_of(path: str | Path) -> Format:
    """Return the format that a file's name asks for.

    Raises
    ------
    EscError
        If there is none.
    """
    suffix = Path(path).suffix.lower()
    for known in FORMATS:
        if known.suffix == suffix:
            return known
    raise EscError(f"{str(path)!r} must end in {' or '.join(SUFFIXES)}.")
