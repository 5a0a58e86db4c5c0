"""A recipe: everything that decides what a training does, as a frozen value read from YAML.

The defaults are the published training of ESC x2 (arXiv 2503.06671).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from math import cos, isfinite, pi
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import EscError
from ..strict_yaml import parse_yaml, read_yaml
from ..texts import quoted

FOLDER = Path(__file__).with_name("recipes")
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("multi-step", "one-cycle")


class RecipeError(EscError):
    """A recipe says something that can't be done; the text names the entry."""


@dataclass(frozen=True)
class Data:
    """Where the images are and how pairs are made of them.

    Attributes
    ----------
    folders : tuple of str
        Searched recursively for images of any depth, gray or colour.
    pairs : str
        A name in `esc_plugin.train.pairs.registry.MAKERS`.
    options : dict
        Of that pair maker, by the names of its arguments.
    patch : int
        Edge of a low-resolution patch in pixels.
    batch : int
        Patches of an iteration, over all devices together.
    workers : int
        Processes that make pairs, per device; 0 makes them in the training's own process.
    """

    folders: tuple[str, ...] = ()
    pairs: str = "bicubic"
    options: dict[str, Any] = field(default_factory=dict)
    patch: int = 64
    batch: int = 64
    workers: int = 4


@dataclass(frozen=True)
class Loss:
    """Weights of the terms of the loss; 0 leaves one out. With `gan` or `perceptual` the training is `gan.GanTraining`.

    With `sharpen`, `l1` and `perceptual` compare with the sharpened original, as Real-ESRGAN does; `gan` never.
    """

    l1: float = 1.0
    perceptual: float = 0.0
    gan: float = 0.0
    sharpen: bool = False


@dataclass(frozen=True)
class Optimizer:
    """AdamW: peak learning rate, betas, decoupled weight decay; `clip` is the largest norm of the gradient, 0 for none."""

    lr: float = 5e-4
    betas: tuple[float, ...] = (0.9, 0.9)
    weight_decay: float = 0.0
    clip: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves, in shares of the whole training (of its iterations, or of its minutes).

    Attributes
    ----------
    kind : {"multi-step", "one-cycle"}
        Multiplied by `factor` at each of `milestones`; or a cosine from the end of the warm-up down to `last`.
    warmup : float
        Share over which it rises from 0.
    milestones : tuple of float
    factor : float
    last : float
        Of a cosine: the last learning rate, as a share of the peak.
    """

    kind: str = "multi-step"
    warmup: float = 0.04
    milestones: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95, 0.98)
    factor: float = 0.5
    last: float = 0.01

    def rate(self, progress: float) -> float:
        """Return the learning rate, as a share of its peak, where a share of the training is done, 0 to 1."""
        if progress < self.warmup:
            return progress / self.warmup
        if self.kind == "multi-step":
            return self.factor ** sum(progress >= milestone for milestone in self.milestones)
        done = (progress - self.warmup) / ((1 - self.warmup) or 1)
        return self.last + (1 - self.last) * (1 + cos(pi * min(done, 1))) / 2


@dataclass(frozen=True)
class Validation:
    """A folder of true images that are never trained on, and after how many iterations they are measured."""

    folder: str = ""
    every: int = 5000


@dataclass(frozen=True)
class Card:
    """What the model card says beside what is known anyway; `training` replaces the sentence that is made of the recipe."""

    family: str = ""
    purpose: str = "clean photo"
    license: str = ""
    training: str = ""


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes
    ----------
    model : str or dict
        A name of `esc_plugin.train.first_network.FAMILIES` such as ``"ESC-lt"``, or the fields of an `EscConfig`, with
        ``like`` for the name they start from. Empty: that of `init`.
    scale : int
        Of the model. For one of any scale, the largest it is trained for.
    init : str
        What `load_model` opens: the weights to start from. Those of another scale are taken over as the paper does.
    data, loss, optimizer, schedule, validation, card
        See there.
    iterations : int
        Steps of the optimizer. The end of the training, unless `minutes` is given.
    minutes : float
        If not 0: the training ends after so much time, and its schedule follows the clock.
    ema : float
        Decay of the moving average of the weights, which is what is validated and exported.
    precision : {"float32", "bfloat16", "float16"}
        Of the arithmetic (autocast); weights and their averages are float32.
    checkpoint_every : int
        Iterations between two checkpoints.
    seed : int
        Everything random follows from it and the number of the iteration.
    """

    model: str | dict[str, Any] = ""
    scale: int = 2
    init: str = ""
    data: Data = Data()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    iterations: int = 500_000
    minutes: float = 0.0
    ema: float = 0.999
    precision: str = "float32"
    validation: Validation = Validation()
    checkpoint_every: int = 1000
    card: Card = Card()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense before anything is read."""
        for name, number in _positive(self).items():
            if number <= 0:
                raise RecipeError(f"{name}: {quoted(number)} must be above 0.")
        for name, number in {"minutes": self.minutes, "data.workers": self.data.workers}.items():
            if number < 0:
                raise RecipeError(f"{name}: {quoted(number)} must not be below 0.")
        for name, number in _shares(self).items():
            if not 0 <= number <= 1:
                raise RecipeError(f"{name}: {quoted(number)} must be from 0 to 1.")
        for name, value, known in (
            ("precision", self.precision, PRECISIONS),
            ("schedule.kind", self.schedule.kind, SCHEDULES),
        ):
            if value not in known:
                raise RecipeError(f"{name}: {quoted(value)} is not one of {', '.join(known)}.")
        if len(self.optimizer.betas) != 2:
            raise RecipeError(f"optimizer.betas: {quoted(list(self.optimizer.betas))} must be two numbers.")
        if not self.model and not self.init:
            raise RecipeError("model: missing; name one such as ESC-lt, or give `init` to go on from a model.")


def _positive(recipe: Recipe) -> dict[str, float]:
    return {
        "scale": recipe.scale,
        "iterations": recipe.iterations,
        "data.patch": recipe.data.patch,
        "data.batch": recipe.data.batch,
        "optimizer.lr": recipe.optimizer.lr,
        "validation.every": recipe.validation.every,
        "checkpoint_every": recipe.checkpoint_every,
    }


def _shares(recipe: Recipe) -> dict[str, float]:
    schedule = recipe.schedule
    milestones = {f"schedule.milestones[{i}]": value for i, value in enumerate(schedule.milestones)}
    betas = {f"optimizer.betas[{i}]": value for i, value in enumerate(recipe.optimizer.betas)}
    return {"ema": recipe.ema, "schedule.warmup": schedule.warmup, "schedule.last": schedule.last} | milestones | betas


def recipe_names() -> list[str]:
    """Return the names of the recipes inside the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_recipe(source: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    source : str or Path
        The name of one inside the package, or the path of a YAML file.
    changes : mapping, optional
        Entries to replace, by dotted names: ``{"optimizer.lr": 1e-4, "data.folders": ["photos"]}``.

    Raises
    ------
    RecipeError
        If there is no such recipe, or an entry is unknown or has a value that can't be.
    """
    path = FOLDER / f"{source}.yaml" if str(source) in recipe_names() else Path(source)
    try:
        values = read_yaml(path)
    except FileNotFoundError:
        raise RecipeError(
            f"there is no recipe {str(source)!r}; name a file, or one of {', '.join(recipe_names())}."
        ) from None
    except EscError as error:
        raise RecipeError(f"can't read the recipe {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"the recipe {str(path)!r} is no mapping of entries to values.")
    for name, value in (changes or {}).items():
        _put(values, name.split("."), value)
    try:
        return _build(Recipe, values, "")
    except RecipeError as error:
        raise RecipeError(f"recipe {str(source)!r}, {error}") from None


def parse_change(text: str) -> tuple[str, Any]:
    """Read ``"optimizer.lr=1e-4"`` as a name and a value."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"can't read {quoted(text)}; write entry=value, such as optimizer.lr=1e-4.")
    try:
        return name.strip(), parse_yaml(value, name.strip())
    except EscError as error:
        raise RecipeError(f"can't read the value of {error}") from None


def _put(values: dict[str, Any], names: list[str], value: Any) -> None:
    *parents, last = names
    for name in parents:
        below = values.get(name)
        values[name] = dict(below) if isinstance(below, dict) else {}
        values = values[name]
    values[last] = value


def _build(cls: Any, values: Any, at: str) -> Any:
    """Make a dataclass of a mapping; every entry is checked against the field's type."""
    if not isinstance(values, dict):
        raise RecipeError(f"{at}: {quoted(values)} is no mapping of entries to values.")
    kinds = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    for name in values:
        if name not in known:
            close = get_close_matches(_join("", name), known, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise RecipeError(f"{_join(at, name)}: unknown; {hint}known are {', '.join(known)}.")
    return cls(**{name: _value(kinds[name], value, _join(at, name)) for name, value in values.items()})


def _join(at: str, name: Any) -> str:
    short = quoted(name).strip("'")
    return f"{at}.{short}" if at else short


def _value(kind: Any, value: Any, at: str) -> Any:
    if is_dataclass(kind):
        return _build(kind, value, at)
    if get_origin(kind) in (Union, UnionType):
        kind = next((k for k in get_args(kind) if isinstance(value, get_origin(k) or k)), get_args(kind)[0])
    if get_origin(kind) is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_value(get_args(kind)[0], item, f"{at}[{i}]") for i, item in enumerate(items))
    if get_origin(kind) is dict and isinstance(value, dict):
        return dict(value)
    if kind is bool or isinstance(value, bool):
        fits = kind is type(value)
    elif kind is float:
        value, fits = _number(value)
    else:
        fits = isinstance(value, get_origin(kind) or kind)
    if fits:
        return kind(value)
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    raise RecipeError(f"{at}: {quoted(value)} is not {names.get(kind, 'a mapping')}.")


def _number(value: Any) -> tuple[Any, bool]:
    """Return a finite number, and whether it is one; YAML 1.1 reads 1e-4 as text."""
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return value, False
    return (number, True) if isfinite(number) else (value, False)
