"""Read safetensors and PyTorch files without trusting them, and unwrap what trainers put around the parameters."""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError

#: Under which keys trainers keep the parameters, best first: an average over the training beats its last state.
WRAPPERS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", "sd")
PREFIXES = ("module.", "_orig_mod.")

#: Names of the safetensors metadata that we write and read.
CONFIG_KEY = "esc_config"


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
        digest = file_sha256(path)
        state, metadata = _read_pickle(path) if zipfile.is_zipfile(path) else _read_safetensors(path)
    except OSError as error:
        raise CheckpointError(f"can't read {str(path)!r}: {error.strerror or error}.") from None
    try:
        config = json.loads(metadata.pop(CONFIG_KEY, "{}"))
    except ValueError:
        config = {}
    return Checkpoint(state, config if isinstance(config, dict) else {}, metadata, digest)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
            return unwrap(state, path), dict(file.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(
            f"{str(path)!r} is neither a safetensors file ({error}) nor a PyTorch file of version 1.6 or later."
        ) from None


def _read_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with zipfile.ZipFile(path) as archive:
        # PyTorch stores tensors uncompressed; anything else may unfold to any size.
        if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
            raise CheckpointError(f"{str(path)!r} is a zip archive with compressed entries, not a PyTorch file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise almost anything
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        if "weights_only" in str(error) or "Unsupported" in str(error):
            reason = ["it holds more than tensors, and nothing in a file is executed here"]
        raise CheckpointError(f"can't read {str(path)!r} as a PyTorch file: {reason[0].rstrip('.')}.") from None
    return unwrap(content, path), {}


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
        keys = ", ".join(repr(k) for k in list(content)[:6]) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(f"{str(path)!r} holds no parameters, only {keys or 'nothing'}.")
    return {_strip(str(name)): value for name, value in tensors.items()}


def _strip(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name
