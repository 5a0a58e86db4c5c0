"""Write safetensors files that say what they hold and where it came from."""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..disk import check_free, identities, replacing, write_text
from ..errors import CheckpointError
from ..network import EscConfig
from ..version import __version__
from .checkpoint import CONFIG_KEY, read_checkpoint
from .dialects import to_canonical, to_dialect
from .model import DESCRIBED, Model, config_json, configure, stated_window

REPLACE = "--overwrite (force=True)"
CONVERTER = f"esc-plugin {__version__}"


def convert(
    path: str | Path, target: str | Path, *, force: bool = False, source: str = "", window_size: int | None = None
) -> Path:
    """Convert a weights file to safetensors.

    The parameters keep their values, their precision and the names that their own program gives them, so that it opens the
    result too. The metadata holds the configuration, the source, its sha256 and the version of this program.

    Parameters
    ----------
    path : path
        Any file that `load_model` opens.
    target : path
        Ends in ``.safetensors``.
    force : bool
        Replace a file that is there.
    source : str
        Where `path` came from; by default its name.
    window_size : int, optional
        Of an ESC-RIB, see `load_model`.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    CheckpointError
        If `path` can't be used.
    EscError
        If `target` is `path`, is there already, or can't be written.
    """
    path, target = Path(path), Path(target)
    if target.suffix.lower() != ".safetensors":
        raise CheckpointError(f"{str(target)!r} must end in .safetensors.")
    check_free(target, inputs=identities(path), overwrite=force, how=REPLACE)
    checkpoint = read_checkpoint(path)
    state = to_canonical(checkpoint.state)
    try:
        config = configure(state, window_size, checkpoint.config)
    except CheckpointError as error:
        raise CheckpointError(f"can't convert {str(path)!r}: {error}") from None
    known = {key: value for key, value in checkpoint.metadata.items() if key in DESCRIBED}
    origin = {"source": source or path.name, "source_sha256": checkpoint.sha256}
    # A window size that nothing stated is not made a statement.
    about = json.loads(config_json(config))
    if config.position == "rib" and stated_window(window_size, checkpoint.config) is None:
        del about["window_size"]
    _write(target, state, config, known | origin | {CONFIG_KEY: json.dumps(about, sort_keys=True)})
    return target


def file_name(model_name: str) -> str:
    """Return what the weights file of a model is called: its name, without what other systems or the Hub refuse."""
    return (re.sub(r"[^\w.-]+", "-", model_name).strip(".-") or "model") + ".safetensors"


def save_model(model: Model, folder: Path, *, force: bool = False) -> Path:
    """Do the work of `Model.save_pretrained`."""
    target = folder / file_name(model.name)
    for path in (target, folder / "config.json"):
        check_free(path, overwrite=force, how=REPLACE)
    known = {key: value for key, value in model.card.items() if key in DESCRIBED and isinstance(value, str)}
    origin = {"source": model.source, "source_sha256": model.sha256, CONFIG_KEY: config_json(model.config)}
    _write(target, model.network.state_dict(), model.config, origin | known)
    write_text(folder / "config.json", config_json(model.config) + "\n")
    return target


def _write(target: Path, state: dict[str, Tensor], config: EscConfig, known: dict[str, str]) -> None:
    metadata = known | {"format": "pt", "converter": CONVERTER}
    # Parameters may share memory, which safetensors refuses.
    tensors = {name: value.detach().clone().contiguous() for name, value in to_dialect(state, config).items()}
    with replacing(target) as beside:
        try:
            save_file(tensors, beside, metadata=metadata)
        except SafetensorError as error:  # a full disk, for one
            raise CheckpointError(f"can't write {str(target)!r}: {error}.") from None
