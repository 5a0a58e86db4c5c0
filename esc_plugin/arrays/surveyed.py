"""What the rendering of a part of a plane must know of the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
