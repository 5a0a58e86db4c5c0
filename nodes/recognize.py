"""Tell ESC networks from all others by their parameters, whoever built them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from ..esc_plugin.catalog.load import known_card
from ..esc_plugin.device import checked_threads
from ..esc_plugin.errors import CheckpointError, EscError
from ..esc_plugin.session.recent import Recent
from ..esc_plugin.weights.checkpoint import check_finite, unwrap
from ..esc_plugin.weights.detect import looks_like_esc
from ..esc_plugin.weights.dialects import to_canonical
from ..esc_plugin.weights.model import Model, build_network, digest_of

Described = TypeVar("Described")
#: Networks that were copied last: a queue runs the same model on image after image.
models = Recent(kept=4)


def is_esc(state_dict: Mapping[str, Any]) -> bool:
    """Tell whether a state dict, possibly wrapped by a trainer, is an ESC network.

    spandrel asks this of every model that a user loads, so it is quick, narrow, and takes anything.
    """
    return looks_like_esc(parameters(state_dict))


def parameters(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the parameters in a state dict under our names; of one that holds none, nothing."""
    try:
        return to_canonical(unwrap(state_dict, Path("the model")))
    except CheckpointError:
        return {}


def model_of(descriptor: Any) -> Model | None:
    """Return a copy of the ESC network inside a descriptor, or None if there is another one inside.

    The parameters decide, not the class: a descriptor that somebody else made of an ESC file is as good as ours. It is a
    copy because hosts move, cast and patch the modules that they manage.

    Raises
    ------
    EscError
        If there is no model inside, or it looks like an ESC network but is of an unknown kind, or holds values that are no
        numbers.
    """
    module: Any = getattr(descriptor, "model", None)
    if not hasattr(module, "state_dict"):
        raise EscError(f"upscale models come from ComfyUI's loader or ours; this is a {type(descriptor).__name__}.")
    state = parameters(module.state_dict())
    if not looks_like_esc(state):
        return None
    # The parameters of an ESC-RIB network don't tell its windows.
    config: Any = getattr(module, "config", None)
    window_size = config.window_size if getattr(config, "position", None) == "rib" else None
    found: Model = models.get((digest_of(state), window_size), lambda: copied(state, window_size))
    return found


def with_threads(descriptor: Described, threads: int) -> Described:
    """Note on a descriptor how many threads of a processor its model may use; 0 for all."""
    descriptor.esc_threads = checked_threads(threads)  # type: ignore[attr-defined]
    return descriptor


def threads_of(descriptor: Any) -> int:
    """Return how many threads a model may use; one from another loader all."""
    return int(getattr(descriptor, "esc_threads", 0))


def copied(state: Mapping[str, Tensor], window_size: int | None) -> Model:
    """Build a network with copies of parameters, and find out what is known of it."""
    check_finite(state, "upscale_model")  # merged or patched by other nodes, say
    network = build_network({name: value.detach().cpu().clone() for name, value in state.items()}, window_size)
    return Model(network, network.config, name="upscale_model", source="upscale_model", sha256="", card=known_card(network))
