"""Any weights file as safetensors."""

from __future__ import annotations

import json
from pathlib import Path

from ..disk import check_free, identities
from ..errors import CheckpointError
from .card import CONFIG_KEY, DESCRIBED
from .checkpoint import read_checkpoint
from .dialects import to_canonical
from .model import configure, stated_window
from .write import REPLACE, config_json, write_weights


def convert(
    path: str | Path, target: str | Path, *, force: bool = False, source: str = "", window_size: int | None = None
) -> Path:
    """Convert a weights file to safetensors.

    The parameters keep their values, their precision and the names that their own program gives them, so that it opens the
    result too. The metadata holds the configuration, the source, its sha256 and the version of this program.

    Parameters
    ----------
    path : Path
        Any file that `load_model` opens.
    target : Path
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
    write_weights(target, state, config, known | origin | {CONFIG_KEY: json.dumps(about, sort_keys=True)})
    return target
