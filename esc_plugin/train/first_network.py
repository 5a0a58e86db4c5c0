"""The network that a training starts with."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from ..catalog.load import load_model
from ..network import ESC, EscConfig
from ..network.config import released
from ..network.heads.registry import HEADS, head_kind
from ..weights.model import Model
from .recipe import Recipe, RecipeError

#: The published networks, and the small one of the bundled models.
FAMILIES = ("ESC", "ESC-lt", "ESC-FP", "ESC-XL", "ESC-Real", "ESC-nano")
NANO = {"dim": 32, "n_blocks": 2, "window_size": 16, "num_heads": 2, "proj_hidden": 64, "conv_hidden": 40}


def start_network(recipe: Recipe) -> tuple[ESC, Model | None]:
    """Return a network for a recipe, and the model that it was begun from, if any.

    Raises
    ------
    RecipeError
        If the recipe names no network that can be, or `init` is another one.
    EscError
        If `init` can't be loaded.
    """
    init = load_model(recipe.init) if recipe.init else None
    config = _config(recipe, init)
    if init:
        _check_same(config, init)
    torch.manual_seed(recipe.seed)
    network = ESC(config)
    if init:
        state = init.network.state_dict()
        network.load_state_dict({k: _rescaled(k, v, init.config, config) for k, v in state.items()})
    return network, init


def _config(recipe: Recipe, init: Model | None) -> EscConfig:
    if not recipe.model:
        assert init is not None
        return replace(init.config, scale=recipe.scale)
    values: dict[str, Any] = {"like": recipe.model} if isinstance(recipe.model, str) else dict(recipe.model)
    like = values.pop("like", "ESC")
    known = [f.name for f in fields(EscConfig) if f.name != "scale"]
    if unknown := [name for name in values if name not in known]:
        raise RecipeError(f"model.{unknown[0]}: unknown; known are like, {', '.join(known)}.")
    try:
        family = _family(like, recipe.scale)
        config = EscConfig.from_dict(family.to_dict() | values)
        head_kind(config)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"model: {error}") from None
    return config


def _family(name: str, scale: int) -> EscConfig:
    if name not in FAMILIES:
        raise RecipeError(f"model: {name!r} is not one of {', '.join(FAMILIES)}.")
    if name == "ESC-nano":
        return EscConfig(**NANO, scale=scale)  # type: ignore[arg-type]
    config = released(name, scale)
    if config.scale != scale:
        raise RecipeError(f"scale: {scale} is none of {name}, which makes images {config.scale} times larger.")
    return config


def _check_same(config: EscConfig, init: Model) -> None:
    scaled = replace(init.config, scale=config.scale)
    if scaled == config and (init.scale == config.scale or HEADS[config.head].rescale):
        return
    if scaled == config:
        raise RecipeError(
            f"init: {init.name!r} is for scale {init.scale}, which a head like its can't take to {config.scale}."
        )
    different = [
        f"{f.name} {getattr(scaled, f.name)!r}, not {getattr(config, f.name)!r}"
        for f in fields(EscConfig)
        if getattr(scaled, f.name) != getattr(config, f.name)
    ]
    raise RecipeError(f"init: {init.name!r} is another network than the recipe's `model`: it has {'; '.join(different)}.")


def _rescaled(name: str, value: Tensor, source: EscConfig, target: EscConfig) -> Tensor:
    rescale = HEADS[target.head].rescale
    if rescale is None or source.scale == target.scale or not name.startswith("to_img."):
        return value
    return rescale(value, source.head_scale, target.head_scale)
