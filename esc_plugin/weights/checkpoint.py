"""Read safetensors and PyTorch files without trusting them, and unwrap what trainers put around the parameters."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from ..errors import CheckpointError, OtherNetworkError
from .card import MAX_HEADER_BYTES, stated_config
from .detect import looks_like_esc
from .dialects import to_canonical
from .limits import MAX_BYTES
from .pickle_check import check_pytorch_file

#: Under which keys trainers keep the parameters, best first: an average over the training beats its last state.
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "sd")
PREFIXES = ("module.", "_orig_mod.")

#: What a parameter may consist of. 8-bit integers appear where a head describes itself.
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8)

#: The largest known network has 700 parameters; far more is there to exhaust the reader.
MAX_PARAMETERS, MAX_NAME = 10_000, 200


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Attributes
    ----------
    state : dict of str to Tensor
        Parameters, named as in the file, unwrapped.
    config : dict
        The configuration that the file states about itself; a hint, never trusted against the shapes.
    metadata : dict of str to str
        Everything else that a safetensors file says about itself.
    sha256 : str
        Of the file.
    """

    state: dict[str, Tensor]
    config: dict[str, Any]
    metadata: dict[str, str]
    sha256: str


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a ``.safetensors`` or zip-format PyTorch file, told apart by content.

    Nothing in the file is executed: pickles are read by ``torch.load(weights_only=True)`` alone.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is neither, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no weights file {str(path)!r}.")
    try:
        raw = _content(path)
    except OSError as error:
        raise CheckpointError(f"can't read {str(path)!r}: {error.strerror or error}.") from None
    # From here on nothing looks at the file again: what is checked is what is hashed and loaded.
    state, metadata = _read_pickle(raw, path) if raw.startswith(b"PK\3\4") else _read_safetensors(raw, path)
    _check_tensors(state, path, len(raw))
    return Checkpoint(state, stated_config(metadata), metadata, hashlib.sha256(raw).hexdigest())


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
            raise CheckpointError(f"{str(path)!r} has {size} bytes, no ESC has more than {MAX_BYTES} bytes.")
        try:
            raw = file.read(size)
        except MemoryError:
            raise CheckpointError(f"there is no memory for the {size / 2**20:.0f} MiB of {str(path)!r}.") from None
    if not raw:
        raise CheckpointError(f"{str(path)!r} is empty; download it again.")
    return raw


def _header(raw: bytes) -> dict[str, Any]:
    """Return the header of a safetensors file: its tensors by name, and ``"__metadata__"``.

    Raises
    ------
    ValueError
        If there is none; the text says why.
    """
    length = int.from_bytes(raw[:8], "little")
    if length > len(raw) - 8:
        raise ValueError(f"its header claims {length} bytes, more than the file has")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, a network needs far fewer")
    try:
        header = json.loads(raw[8 : 8 + length])
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no object")  # noqa: TRY004  # about the file
    if len(header) > MAX_PARAMETERS:
        raise ValueError(f"it has {len(header)} parameters, a network needs far fewer")
    return header


def _read_safetensors(raw: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        header = _header(raw)
        state = safetensors.torch.load(raw)
    except Exception as error:  # tensors of exotic kinds raise almost anything
        if raw[:1] in (b"\x80", b"<"):  # a bare pickle, a web page
            kind = "a PyTorch file of before version 1.6" if raw[:1] == b"\x80" else "a web page"
            raise CheckpointError(f"{str(path)!r} is {kind}; download the model as .safetensors or .pth.") from None
        raise CheckpointError(
            f"{str(path)!r} is neither a safetensors file ({_one_line(error)}) nor a PyTorch file; download it again."
        ) from None
    return unwrap(state, path), dict(header.get("__metadata__") or {})


def _read_pickle(raw: bytes, path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        check_pytorch_file(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise almost anything
        reason = _one_line(error) if isinstance(error, ValueError) else "it is damaged"
        raise CheckpointError(f"can't read {str(path)!r} as a PyTorch file: {reason}.") from None
    return unwrap(content, path), {}


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def _check_tensors(state: dict[str, Tensor], path: Path, size: int) -> None:
    """Refuse what would take more memory than the file has bytes, and what can't be computed with."""
    for name, value in state.items():
        if not name.isprintable() or len(name) > MAX_NAME or value.ndim > 8 or not value.numel():
            # Empty tensors may state any size, and no network has one.
            raise CheckpointError(f"{str(path)!r} holds {name[:40]!r} with {value.ndim} axes and {value.numel()} values.")
        if value.dtype not in DTYPES or value.layout != torch.strided or value.device.type != "cpu":
            kinds = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
            # Networks of other kinds keep tables of whole numbers.
            kind = CheckpointError if looks_like_esc(to_canonical(state)) else OtherNetworkError
            raise kind(f"in {str(path)!r}, {name!r} is {value.dtype} ({value.layout}); possible are {kinds}.")
    if sum(value.numel() * value.element_size() for value in state.values()) > size:
        raise CheckpointError(f"the parameters of {str(path)!r} claim more bytes than the file has.")
    check_finite(state, str(path))


def check_finite(state: Mapping[str, Tensor], where: str) -> None:
    """Raise a `CheckpointError` for a parameter that is no number in float32, in which networks are computed."""
    for name, value in state.items():
        if value.is_floating_point() and not value.float().isfinite().all():
            raise CheckpointError(
                f"in {where!r}, {name!r} holds values that are no numbers: a damaged file or a failed training."
            )


def unwrap(content: object, path: Path) -> dict[str, Tensor]:
    """Find the parameters inside what a trainer saved.

    Raises
    ------
    CheckpointError
        If there are none; the text names the keys that were found.
    """
    found = content
    for _ in range(4):  # the deepest known nesting is 2
        if not isinstance(found, Mapping):
            break
        inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    tensors = {k: v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        keys = ", ".join(repr(k)[:40] for k in list(content)[:6]) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(f"{str(path)!r} holds no parameters, only {keys or 'nothing'}.")
    return {_strip(str(name)): value for name, value in tensors.items()}


def _strip(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
