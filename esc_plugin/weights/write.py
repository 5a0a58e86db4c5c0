"""Safetensors files that say what they hold and where it came from."""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..disk import replacing
from ..errors import CheckpointError
from ..network import EscConfig
from ..texts import quoted
from ..version import __version__
from .dialects import to_dialect

#: How a user says that a file may be replaced.
REPLACE = "--overwrite (force=True)"
CONVERTER = f"esc-plugin {__version__}"


def write_weights(target: Path, state: dict[str, Tensor], config: EscConfig, about: dict[str, str]) -> None:
    """Write a safetensors file as a whole or not at all.

    Parameters
    ----------
    state : dict of str to Tensor
        Parameters in canonical names; in the file they have those of the program that the network comes from.
    about : dict of str to str
        For the metadata, which hold the version of this program too.

    Raises
    ------
    CheckpointError, EscError
        If it can't be written.
    """
    metadata = about | {"format": "pt", "converter": CONVERTER}
    for name, value in metadata.items():
        if any(
            "\ud800" <= character <= "\udfff" for character in value
        ):  # what a command line makes of bytes that are no text
            raise CheckpointError(f"{name} must be text, not {quoted(value)}.")
    # Parameters may share memory, which safetensors refuses.
    tensors = {name: value.detach().clone().contiguous() for name, value in to_dialect(state, config).items()}
    with replacing(target) as beside:
        try:
            save_file(tensors, beside, metadata=metadata)
        except SafetensorError as error:  # a full disk, for one
            raise CheckpointError(f"can't write {str(target)!r}: {error}.") from None


def file_name(model_name: str) -> str:
    """Return what the weights file of a model is called: its name, without what other systems or the Hub refuse."""
    return (re.sub(r"[^\w.-]+", "-", model_name).strip(".-") or "model") + ".safetensors"


def config_json(config: EscConfig) -> str:
    """Return a configuration as it is stored: in safetensors metadata and ``config.json``, always with its windows' size."""
    return json.dumps(config.to_dict() | {"window_size": config.window_size}, sort_keys=True)
