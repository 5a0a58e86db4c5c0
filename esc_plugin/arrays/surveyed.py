"""What the rendering of a part of a plane must know of the whole."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import PRECISIONS


@dataclass(frozen=True, eq=False)
class RunSurvey:
    """What one run of the network over the whole plane found.

    Attributes
    ----------
    precision : str
        Of the feature maps, such as ``"float32"``.
    means : numpy.ndarray
        (ConvAttn, P) float32: the mean before each dynamic kernel, in the order of the network.
    """

    precision: str
    means: np.ndarray

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        # Thousands of planes have some hundred numbers each: as text they would be four times as long.
        values = base64.b64encode(self.means.astype("<f4").tobytes()).decode()
        return {"precision": self.precision, "shape": list(self.means.shape), "float32": values}

    @classmethod
    def read(cls, content: dict[str, Any]) -> RunSurvey:
        """Read what `content` returned; a `ValueError`, `KeyError` or `TypeError` if it is something else."""
        if content["precision"] not in PRECISIONS:
            raise ValueError(f"{content['precision']!r:.40} is no precision")
        rows, columns = content["shape"]
        values = np.frombuffer(base64.b64decode(content["float32"], validate=True), "<f4")
        if not np.isfinite(values).all():
            raise ValueError("its means are no numbers")
        return cls(content["precision"], values.astype(np.float32).reshape(rows, columns))


@dataclass(frozen=True, eq=False)
class PlaneSurvey:
    """What is known of a plane.

    Attributes
    ----------
    colours, alpha : tuple of RunSurvey
        The runs from the plane's size to the target's, of its colours and of its transparency, one after the other.
    opaque : bool
        Whether all of it is opaque, so that nothing is done about transparency.
    stand_in : float
        What the network sees in the place of NaN and infinity, in 0..1.
    """

    colours: tuple[RunSurvey, ...] = ()
    alpha: tuple[RunSurvey, ...] = ()
    opaque: bool = True
    stand_in: float = 0.0

    def content(self) -> dict[str, Any]:
        """Return it for JSON."""
        runs = {name: [run.content() for run in getattr(self, name)] for name in ("colours", "alpha")}
        return runs | {"opaque": self.opaque, "stand_in": self.stand_in}

    @classmethod
    def read(cls, content: dict[str, Any]) -> PlaneSurvey:
        """Read what `content` returned; errors as those of `RunSurvey.read`."""
        colours, alpha = (tuple(map(RunSurvey.read, content[name])) for name in ("colours", "alpha"))
        stand_in = float(content["stand_in"])
        if not 0 <= stand_in <= 1:
            raise ValueError(f"{stand_in!r} can't stand in for NaN")
        return cls(colours, alpha, bool(content["opaque"]), stand_in)
