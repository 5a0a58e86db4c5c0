"""A recipe: everything that decides what a training does, as a frozen value read from YAML.

The defaults are the published training of ESC x2 (arXiv 2503.06671).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, pi
from pathlib import Path
from typing import Annotated, Any

from ..device import PRECISIONS
from ..errors import EscError
from ..strict_yaml import parse_yaml, read_yaml
from ..texts import quoted
from ..typed_yaml import FieldError, Rule, build, check_rules, one_of

FOLDER = Path(__file__).with_name("recipes")
ABOVE_0 = Rule("must be above 0", lambda number: number > 0)
#: A time that is no number is refused by `clock.check_minutes`, which says more.
NOT_BELOW_0 = Rule("must not be below 0", lambda number: not number < 0)
Count = Annotated[int, ABOVE_0]
Share = Annotated[float, Rule("must be from 0 to 1", lambda number: 0 <= number <= 1)]


class RecipeError(EscError):
    """A recipe says something that can't be done; the text names the entry."""


@dataclass(frozen=True)
class Synthetic:
    """Micrographs that are drawn, see `esc_plugin.train.micrographs`.

    Attributes
    ----------
    images : int
        How many; 0 for none.
    share : float
        Of the patches; all of them where there are no folders.
    kind : {"fluorescence", "brightfield"}
    """

    images: Annotated[int, NOT_BELOW_0] = 0
    share: Share = 0.5
    kind: Annotated[str, one_of("fluorescence", "brightfield")] = "fluorescence"


@dataclass(frozen=True)
class Data:
    """Where the images are and how pairs are made of them.

    Attributes
    ----------
    folders : tuple of str
        Searched recursively for images of any depth, gray or colour.
    shares : tuple of float
        How often a patch comes from each of the folders; none: by their area. Within a folder it is by area.
    synthetic : Synthetic
        What is drawn beside them, or instead.
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
    shares: tuple[Annotated[float, ABOVE_0], ...] = ()
    synthetic: Synthetic = Synthetic()
    pairs: str = "bicubic"
    options: dict[str, Any] = field(default_factory=dict)
    patch: Count = 64
    batch: Count = 64
    workers: Annotated[int, NOT_BELOW_0] = 4


@dataclass(frozen=True)
class Loss:
    """Weights of the terms of the loss; 0 leaves one out. With `gan` or `perceptual` the training is `gan.GanTraining`.

    What can't be known, such as the noise of an original, L1 sets to its median and L2 to its mean: where intensities count,
    L2 keeps them. With `sharpen`, `l1`, `l2` and `perceptual` compare with the sharpened original, as Real-ESRGAN does, and
    `gan` never.
    """

    l1: Annotated[float, NOT_BELOW_0] = 1.0
    l2: Annotated[float, NOT_BELOW_0] = 0.0
    perceptual: Annotated[float, NOT_BELOW_0] = 0.0
    gan: Annotated[float, NOT_BELOW_0] = 0.0
    sharpen: bool = False


@dataclass(frozen=True)
class Optimizer:
    """AdamW: peak learning rate, betas, decoupled weight decay; `clip` is the largest norm of the gradient, 0 for none."""

    lr: Annotated[float, ABOVE_0] = 5e-4
    betas: Annotated[tuple[Share, ...], Rule("must be two numbers", lambda betas: len(betas) == 2)] = (0.9, 0.9)
    weight_decay: Annotated[float, NOT_BELOW_0] = 0.0
    clip: Annotated[float, NOT_BELOW_0] = 0.0


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

    kind: Annotated[str, one_of("multi-step", "one-cycle")] = "multi-step"
    warmup: Share = 0.04
    milestones: tuple[Share, ...] = (0.5, 0.8, 0.9, 0.95, 0.98)
    factor: Share = 0.5
    last: Share = 0.01

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
    every: Count = 5000


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
        Decay of the moving average of the weights, which is what is validated and exported; in iteration n at most
        (1 + n) / (10 + n), so that a short training isn't held back by where it began.
    precision : {"float32", "bfloat16", "float16"}
        Of the arithmetic (autocast); weights and their averages are float32.
    checkpoint_every : int
        Iterations between two checkpoints.
    seed : int
        Everything random follows from it and the number of the iteration.
    """

    model: str | dict[str, Any] = ""
    scale: Count = 2
    init: str = ""
    data: Data = Data()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    iterations: Count = 500_000
    minutes: Annotated[float, NOT_BELOW_0] = 0.0
    ema: Share = 0.999
    precision: Annotated[str, one_of(*PRECISIONS)] = "float32"
    validation: Validation = Validation()
    checkpoint_every: Count = 1000
    card: Card = Card()
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense before anything is read."""
        try:
            check_rules(self)
        except FieldError as error:
            raise RecipeError(str(error)) from None
        if not self.model and not self.init:
            raise RecipeError("model: missing; name one such as ESC-lt, or give `init` to go on from a model.")
        loss = self.loss
        if loss.l2 and (loss.gan or loss.perceptual):
            raise RecipeError(
                f"loss.l2: {loss.l2:g} goes with loss.l1 only; leave it at 0 beside loss.gan and loss.perceptual."
            )
        if not (loss.l1 or loss.l2 or loss.gan or loss.perceptual):
            raise RecipeError("loss: all of its terms are 0; give one a weight, such as l1: 1.")


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
        return build(Recipe, values)
    except (FieldError, RecipeError) as error:
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
