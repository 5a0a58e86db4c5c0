"""A network with its weights, and where they came from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..disk import check_free, write_text
from ..errors import CheckpointError, WrongFileError
from ..network import ESC, EscConfig
from .card import CONFIG_KEY, from_metadata, to_metadata
from .checkpoint import read_checkpoint
from .detect import detect
from .dialects import to_canonical
from .limits import MAX_WINDOW
from .write import REPLACE, config_json, file_name, write_weights

logger = logging.getLogger(__name__)

#: Another size than the right one makes a picture that looks plausible and is wrong.
UNKNOWN_WINDOW = (
    "nothing states the window size of this ESC-RIB, %d is assumed; if it was trained with another, the result is wrong: "
    "state it with window_size= in Python, --window-size on the command line."
)


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
        Where the weights came from: a path, a name of the catalogue, or ``org/repo/file@commit``.
    sha256 : str
        Of the weights file.
    card : dict
        What is known beside the weights: ``family``, ``purpose``, ``detail``, ``license``, ``license_note``, ``training``,
        ``figures`` (PSNR in dB by benchmark), ``ssim``, ``gains`` (over bicubic, see `esc_plugin.catalog.gains.Gain`),
        ``base_model``, ``source`` and ``source_sha256`` (of what it was converted from). Any may be absent.
    """

    network: ESC
    config: EscConfig
    name: str
    source: str
    sha256: str
    card: dict[str, Any] = field(default_factory=dict)

    def save_pretrained(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write ``<name>.safetensors`` and ``config.json``; `load_model` opens such a folder.

        Parameters
        ----------
        folder : Path
            It is made if need be.
        force : bool
            Replace files that are there.

        Returns
        -------
        Path
            Of the weights file.

        Raises
        ------
        EscError
            If the files are there already, or can't be written.
        """
        target, config = Path(folder) / file_name(self.name), Path(folder) / "config.json"
        for path in (target, config):
            check_free(path, overwrite=force, how=REPLACE)
        stated = config_json(self.config)
        origin = {"source": self.source, "source_sha256": self.sha256, CONFIG_KEY: stated}
        write_weights(target, self.network.state_dict(), self.config, origin | to_metadata(self.card))
        write_text(config, stated + "\n")
        return target

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the configuration, which a file may leave open, and of the file; without one, of the parameters."""
        found = hashlib.sha256(f"{config_json(self.config)} {self.sha256}".encode())
        for name, tensor in ({} if self.sha256 else self.network.state_dict()).items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    @property
    def scale(self) -> int:
        """Output pixels per input pixel; of a network for any scale, the largest that it was trained for."""
        return self.config.scale

    @property
    def any_scale(self) -> bool:
        """Whether it renders any real scale, and not only `scale`."""
        return self.network.any_scale


def configure(state: dict[str, Tensor], window_size: int | None = None, hint: dict[str, Any] | None = None) -> EscConfig:
    """Return the configuration of a network in canonical names.

    Parameters
    ----------
    state : dict of str to Tensor
        Parameters, see `to_canonical`.
    window_size : int, optional
        Of an ESC-RIB network, whose parameters don't depend on it. The others know theirs. If `hint` doesn't state it
        either, 64 is assumed, as published, with a warning.
    hint : dict, optional
        A stated configuration, believed only in what the parameters can't tell.

    Raises
    ------
    CheckpointError
        If it is no ESC network, or `window_size` contradicts it or is impossible.
    """
    config = detect(state)
    if window_size is not None and not _possible_window(window_size):
        raise CheckpointError(f"window_size={window_size!r} is not a whole number from 1 to {MAX_WINDOW}.")
    if config.window_size > MAX_WINDOW:
        raise CheckpointError(
            f"the windows of this network are {config.window_size} pixels; up to {MAX_WINDOW} can be computed."
        )
    if config.position == "rib":
        if (stated := stated_window(window_size, hint)) is not None:
            return replace(config, window_size=stated)
        logger.warning(UNKNOWN_WINDOW, config.window_size)
        return config
    if window_size not in (None, config.window_size):
        raise CheckpointError(f"the windows of this network are {config.window_size} pixels, not {window_size!r}.")
    return config


def stated_window(window_size: int | None, hint: dict[str, Any] | None) -> int | None:
    """Return the size of an ESC-RIB's windows that was given or is stated, if it is possible."""
    stated: Any = window_size or (hint or {}).get("window_size")
    return stated if _possible_window(stated) else None


def _possible_window(size: Any) -> bool:
    return type(size) is int and 1 <= size <= MAX_WINDOW


def build_network(state: dict[str, Tensor], window_size: int | None = None, hint: dict[str, Any] | None = None) -> ESC:
    """Detect, build and fill a network.

    Parameters
    ----------
    state : dict of str to Tensor
        Parameters in any known dialect.
    window_size, hint : optional
        See `configure`.

    Raises
    ------
    CheckpointError
        If it is no ESC network, or `window_size` contradicts it.
    """
    state = to_canonical(state)
    config = configure(state, window_size, hint)
    with torch.device("meta"):
        network = ESC(config)
    values = {n: (v.float() if v.is_floating_point() else v).contiguous() for n, v in state.items()}
    network.load_state_dict(values, assign=True)
    return network.eval().requires_grad_(False)


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Return a hash of parameters and their names: a tenth of the work of building a network with them."""
    found = hashlib.sha256()
    for name, value in state.items():
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def read_model(
    path: str | Path,
    *,
    name: str | None = None,
    source: str | None = None,
    sha256: str | None = None,
    remedy: str = "",
    window_size: int | None = None,
    hint: Callable[[], dict[str, Any]] | None = None,
    card: dict[str, Any] | None = None,
) -> Model:
    """Read a model from a local file.

    Parameters
    ----------
    name, source, card : optional
        What to call it; by default the file's stem and path. What the file says about itself never replaces the card.
    sha256, remedy : str, optional
        What the file must have, and what the error says to do if it hasn't.
    window_size : int, optional
        See `configure`.
    hint : callable, optional
        Gives a configuration stated beside the file; called only if the file leaves something open.

    Raises
    ------
    CheckpointError
        If the file is unreadable, is not the expected one, or no ESC network (`OtherNetworkError`).
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    if sha256 and checkpoint.sha256 != sha256.lower():
        raise WrongFileError(str(path), checkpoint.sha256, sha256.lower(), remedy)
    try:
        stated = checkpoint.config
        if hint and "window_size" not in stated and looks_like_rib(checkpoint.state):
            stated = hint()
        network = build_network(checkpoint.state, window_size, stated)
    except CheckpointError as error:
        raise type(error)(f"can't use {str(path)!r}: {error}") from None
    described = from_metadata(checkpoint.metadata)
    return Model(
        network, network.config, name or path.stem, source or str(path), checkpoint.sha256, described | (card or {})
    )


def looks_like_rib(state: dict[str, Tensor]) -> bool:
    """Tell whether parameters are those of an ESC-RIB, which don't tell the size of its windows."""
    return any(key.endswith("attn.to_hidden") for key in state)
