"""A network with its weights, and where they came from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..network import ESC, EscConfig
from .checkpoint import Checkpoint, read_checkpoint
from .detect import detect
from .dialects import to_canonical


@dataclass(frozen=True)
class Model:
    """A network ready to run.

    Attributes
    ----------
    network : ESC
        In evaluation mode, in float32 on the CPU.
    config : EscConfig
        As detected from the weights.
    name : str
        For people and file names: the catalogue name, or the file's stem.
    source : str
        Where the weights came from: a path, a URL, or ``org/repo/file@revision``.
    sha256 : str
        Of the weights file.
    card : dict
        What is known beside the weights: licence, purpose, figures, ...
    """

    network: ESC
    config: EscConfig
    name: str
    source: str
    sha256: str
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def scale(self) -> int:
        """Output pixels per input pixel; of a network for any scale, the largest that it was trained for."""
        return self.config.scale


def build_network(state: dict[str, Tensor], window_size: int | None = None, hint: dict[str, Any] | None = None) -> ESC:
    """Detect, build and fill a network.

    Parameters
    ----------
    state : dict of str to Tensor
        Parameters in any known dialect.
    window_size : int, optional
        Of an ESC-RIB network, whose parameters don't depend on it. The others know theirs.
    hint : dict, optional
        A stated configuration, believed only in what the parameters can't tell.

    Raises
    ------
    CheckpointError
        If it is no ESC network, or `window_size` contradicts it.
    """
    state = to_canonical(state)
    config = detect(state)
    if config.position == "rib":
        stated = window_size or (hint or {}).get("window_size")
        if isinstance(stated, int) and 0 < stated <= 1024:
            config = replace(config, window_size=stated)
    elif window_size not in (None, config.window_size):
        raise CheckpointError(f"the windows of this network are {config.window_size} pixels, not {window_size!r}.")
    with torch.device("meta"):
        network = ESC(config)
    network = network.to_empty(device="cpu")
    network.load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in state.items()})
    return network.eval().requires_grad_(False)


def read_model(
    path: str | Path,
    *,
    name: str | None = None,
    source: str | None = None,
    sha256: str | None = None,
    window_size: int | None = None,
    card: dict[str, Any] | None = None,
) -> Model:
    """Read a model from a local file.

    Parameters
    ----------
    name, source, card : optional
        What to call it; by default the file's stem and path.
    sha256 : str, optional
        What the file must have.
    window_size : int, optional
        See `build_network`.

    Raises
    ------
    CheckpointError
        If the file is unreadable, is not the expected one, or no ESC network.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    if sha256 and checkpoint.sha256 != sha256.lower():
        raise CheckpointError(
            f"{str(path)!r} is not the file that it should be: its sha256 is {checkpoint.sha256}, "
            f"{sha256.lower()} was expected. Delete it, then it is downloaded again."
        )
    try:
        network = build_network(checkpoint.state, window_size, checkpoint.config)
    except CheckpointError as error:
        raise CheckpointError(f"can't use {str(path)!r}: {error}") from None
    return Model(
        network,
        network.config,
        name or path.name.removesuffix(".safetensors").removesuffix(".pth"),
        source or str(path),
        checkpoint.sha256,
        (card or {}) | _described(checkpoint),
    )


def _described(checkpoint: Checkpoint) -> dict[str, Any]:
    """Keep what the file says about itself, as far as it is short."""
    return {k: v for k, v in checkpoint.metadata.items() if len(v) < 2000}


def config_json(config: EscConfig) -> str:
    """Return a configuration as it is stored in safetensors metadata and ``config.json``."""
    return json.dumps(config.to_dict(), sort_keys=True)
