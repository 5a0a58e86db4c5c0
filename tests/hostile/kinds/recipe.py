"""Recipes of trainings: what is taken is the same recipe when it is written and read again."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from esc_plugin.train.recipe import FOLDER, Recipe, parse_change, read_recipe, recipe_names

from ..case import Case, check
from ..mutate import damaged, retyped
from .manifest import changed, yaml_text

CHANGES = (
    "optimizer.lr=1e-4",
    "data.folders=[photos]",
    "schedule.milestones=[0.5, 0.8]",
    "model=ESC-lt",
    "minutes=3",
    "loss={l1: 1}",
)


@cache
def good() -> tuple[dict[str, Any], ...]:
    """Return the recipes inside the package, and one that says everything."""
    own = tuple(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in recipe_names())
    return (*own, _written(Recipe(model="ESC-lt")))


def _written(recipe: Recipe) -> dict[str, Any]:
    return _listed(asdict(recipe))


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(inner) for key, inner in value.items()}
    return [_listed(inner) for inner in value] if isinstance(value, (tuple, list)) else value


def case(rng: Random) -> Case:
    """Return a recipe with something changed, and perhaps a change that a command asks for."""
    data = yaml_text(rng, changed(rng, rng.choice(good()))).encode("utf-8", "surrogatepass")
    data = damaged(rng, data) if rng.randrange(15) == 0 else data
    change = retyped(rng, rng.choice(CHANGES)) if rng.random() < 0.3 else ""
    return Case("recipe", {"a.yaml": data}, lambda folder: attempted(folder, change))


def attempted(folder: Path, change: str) -> list[str]:
    """Read a recipe, and what is written of it."""
    recipe = read_recipe(folder / "a.yaml", dict([parse_change(change)]) if change else None)
    (folder / "again.yaml").write_text(yaml.safe_dump(_written(recipe)), encoding="utf-8")
    again = read_recipe(folder / "again.yaml")
    check(again == recipe, "written and read again it is another recipe")
    rates = [recipe.schedule.rate(step / 8) for step in range(9)]
    check(all(isinstance(rate, float) and rate >= 0 for rate in rates), f"its learning rates are {rates}")
    return ["again.yaml"]
