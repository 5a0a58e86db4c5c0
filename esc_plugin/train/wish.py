"""What a fine-tuning is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..catalog.purposes import KEYS, MICROSCOPY
from ..errors import EscError
from ..measure.scores import mean
from .clock import check_minutes
from .held_out import HeldOutScore


class Kind(NamedTuple):
    """How small images are made of large ones, what the result is for and does to detail, how much there is to learn."""

    pairs: str
    reduction: str
    purpose: str
    detail: str
    rate: float


KINDS = {
    "microscopy": Kind(
        "microscopy",
        "blurred, binned, noisy",
        MICROSCOPY,
        "takes noise and blur away; may smooth faint structures away too",
        1.0,
    ),
    "photo": Kind(
        "bicubic", "bicubic reduction", "clean photo", "sharper edges, no invented texture; noise gets sharper too", 0.2
    ),
}


@dataclass(frozen=True)
class Wish:
    """What to do.

    Attributes
    ----------
    init : str
        The model to start from, as `load_model` takes it.
    kind : {"microscopy", "photo"}
        How small images are made of large ones: by a microscope's forward model, or by bicubic reduction.
    minutes : float
        For everything: reading the images, measuring before, training, measuring after.
    iterations : int
        Instead of minutes, if not 0.
    options : dict
        Of the pair maker, such as ``{"photons": (20, 200)}``.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ...
    keep : bool
        Write a model that got better even if bicubic interpolation is better still.
    purpose : str
        The kind of images, one of `esc_plugin.catalog.purposes.KEYS`, under which menus list the result. By default that of
        the kind.

    Raises
    ------
    EscError
        If the kind is none of them, the purpose is none, or the time is no time.
    """

    init: str
    kind: str = "microscopy"
    minutes: float = 10
    iterations: int = 0
    options: dict[str, Any] | None = None
    device: str = "auto"
    keep: bool = False
    purpose: str = ""

    def __post_init__(self) -> None:
        """Refuse what can't be done."""
        if self.kind not in KINDS:
            raise EscError(f"the kind must be one of {', '.join(KINDS)}, not {self.kind!r}.")
        if self.purpose and self.purpose not in KEYS:
            raise EscError(f"the purpose must be one of {', '.join(KEYS)}, not {self.purpose!r}.")
        check_minutes(self.minutes)


@dataclass(frozen=True)
class HeldOutGain:
    """What was learned so far: PSNR in dB on held-out crops, the mean over their images.

    Attributes
    ----------
    iteration : int
        After which it was measured; 0 is the start.
    now, start, bicubic : float
        Of the network as it is, of the one that it started from, and of bicubic interpolation, on the same crops.
    """

    iteration: int
    now: float
    start: float
    bicubic: float


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    weights : Path, optional
        The file; ``None`` if nothing was written, because of `problem`.
    scores : list of HeldOutScore
        By held-out image.
    iterations : int
        Done.
    interrupted : bool
        Whether it was stopped before its time.
    """

    weights: Path | None
    scores: list[HeldOutScore]
    iterations: int
    interrupted: bool

    def rows(self) -> list[HeldOutScore]:
        """Return the scores and their mean."""
        return [*self.scores, mean(self.scores)]

    @property
    def problem(self) -> str:
        """Why it is no success, as a clause: no better than before, or than bicubic interpolation. Empty if it is one."""
        found, after = mean(self.scores), f"after {self.iterations:,} iterations"
        if not found.after > found.before:  # NaN is no gain either
            return f"{after} it is no better than before: {found.after:.2f} dB, before {found.before:.2f}"
        if not found.after > found.bicubic:
            return f"{after} bicubic interpolation is still better: {found.bicubic:.2f} dB, the model {found.after:.2f}"
        return ""

    @property
    def gained(self) -> bool:
        """Whether the model is better than before."""
        found = mean(self.scores)
        return found.after > found.before
