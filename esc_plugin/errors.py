"""What can go wrong, as one family: catch `EscError` and show its text."""

from collections.abc import Sequence
from importlib.util import find_spec

#: What parts of this package import that a plain installation lacks, by extra.
EXTRAS = {
    "cli": ("typer", "rich", "imagecodecs"),
    "cluster": ("dask", "distributed"),
    "train": ("lightning", "tensorboard", "matplotlib", "skimage"),
    "evaluate": ("skimage",),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "ncnn": ("pnnx", "ncnn"),
    "executorch": ("executorch",),
    "coreml": ("coremltools",),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "inspect": ("matplotlib",),
    "video": ("av",),
}
#: Packages whose names aren't those of their modules.
PACKAGES = {"skimage": "scikit-image"}


class EscError(Exception):
    """Base of every error that this package raises on purpose. The text is one line for a person.

    Whatever files and servers say in it, it stays a line, and commands no terminal: what can't be printed is escaped.
    """

    def __str__(self) -> str:
        text = super().__str__()
        return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class CheckpointError(EscError):
    """A weights file can't be read, isn't an ESC, or isn't the one it should be."""


class OtherNetworkError(CheckpointError):
    """The weights are those of another architecture than ESC, and nothing says that they are damaged."""


class HubError(EscError):
    """A model can't be found or downloaded."""


class ImageError(EscError):
    """An image can't be read, understood or written."""


class StoreError(ImageError):
    """A store takes nothing more: its disk is full or read-only, or it's gone, or another job's. What is done stays done."""


class Cancelled(EscError):  # noqa: N818  # it is no error of anybody
    """The caller asked to stop."""


class WrongFileError(CheckpointError, HubError):
    """A file is not the one that it should be: a matter of the file, and of where it came from.

    Parameters
    ----------
    what : str
        Path or address of the file.
    found, expected : str
        Its sha256, and the one that it should have.
    remedy : str
        Sentences that say what to do; may be empty.
    """

    def __init__(self, what: str, found: str, expected: str, remedy: str) -> None:
        text = f"{what!r} is not the file that it should be: its sha256 is {found}, {expected} was expected. {remedy}"
        super().__init__(text.strip())


def needs(extra: str) -> None:
    """Raise an `EscError` unless the packages of an extra are there; none is imported, so this costs nothing.

    Parameters
    ----------
    extra : str
        A key of `EXTRAS`.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise EscError(f"{extra!r} needs packages that aren't installed {how_to_install(extra, missing)}")


def how_to_install(extra: str, missing: Sequence[str]) -> str:
    """Return the end of a sentence that says how to get what an extra needs: from a clone, and anywhere else.

    Parameters
    ----------
    extra : str
        A key of `EXTRAS`.
    missing : sequence of str
        Modules that aren't there.
    """
    names = " ".join(PACKAGES.get(name, name) for name in missing)
    return f"(from a clone: pip install -e '.[{extra}]'); install them with: pip install {names}"


class DiskSpaceError(EscError):
    """The feature maps of an image fit neither into memory nor onto the disk for temporary files.

    Attributes
    ----------
    problem : str
        How much is missing, without what a program or a command line can do about it; a window has other ways.
    """

    def __init__(self, problem: str, ways_out: str) -> None:
        super().__init__(f"{problem}; {ways_out}.")
        self.problem = problem
