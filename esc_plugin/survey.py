"""What the network must know of a whole image to render any part of it: a small file that goes where the work goes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import inf, isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np

from .arrays.digest import image_digest
from .arrays.layout import check_axes
from .arrays.levels import Levels
from .arrays.surveyed import PlaneSurvey
from .disk import write_text
from .errors import ImageError
from .request import Request
from .texts import quoted

__all__ = ["Environment", "Request", "Sampling", "Survey", "digest_of", "image_digest"]

#: Of the file.
FORMAT, VERSION = "esc survey", 1
#: What a request may ask for that its survey doesn't depend on.
SERVES_ANY = ("strength",)
#: What comes up where a text is none.
NOT_A_SURVEY = (ValueError, KeyError, TypeError, IndexError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Environment:
    """Where a survey was made. Among equal ones, pixels are equal to the bit."""

    torch: str
    device: str
    instructions: str


@dataclass(frozen=True)
class Sampling:
    """How a survey was sampled, and what that costs.

    Attributes
    ----------
    samples, pixels : int
        How many pieces of a plane were looked at, and how many pixels they have together.
    difference : float
        Root mean square by which results are expected to differ from those with exact means, in 0..1 of the network.
        What is rare and in none of the samples isn't in it.
    """

    samples: int
    pixels: int
    difference: float

    @property
    def psnr(self) -> float:
        """The difference in decibels below the range of the network; infinite if there is none."""
        return -20 * log10(self.difference) if self.difference else inf


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a whole image, for a model and a request.

    Attributes
    ----------
    model, sha256 : str
        Name of the model, and the hash of its file.
    request : Request
        What it serves.
    levels : tuple of pair of float
        The values that the network sees as 0 and 1, by channel.
    planes : tuple of PlaneSurvey
        Of each plane, the last axis fastest.
    image : str
        Hash of some of the image's pixels.
    environment : Environment
        Where it was made.
    network : str
        Hash of what computes, see `Model.fingerprint`.
    sampling : Sampling, optional
        How it was sampled; an exact survey has none.
    """

    model: str
    sha256: str
    request: Request
    levels: tuple[tuple[float, float], ...]
    planes: tuple[PlaneSurvey, ...] = field(repr=False)
    image: str
    environment: Environment
    network: str
    sampling: Sampling | None = None

    @property
    def method(self) -> str:
        """Either ``"exact"`` or ``"sampled"``."""
        return "sampled" if self.sampling else "exact"

    @property
    def precisions(self) -> set[str]:
        """Of the runs; empty if nothing had to run."""
        return {run.precision for plane in self.planes for run in (*plane.colours, *plane.alpha)}

    @property
    def difference(self) -> float:
        """Root mean square by which results are expected to differ from those of an exact survey, in levels of the image."""
        if not self.sampling:
            return 0.0
        return self.sampling.difference * max(high - low for low, high in self.levels)

    @cached_property
    def digest(self) -> str:
        """Hash of all that the pixels of a result depend on."""
        return digest_of(self._content())

    def levels_of(self, dtype: np.dtype) -> list[Levels]:
        """Return the levels by channel."""
        return [Levels(low, high, dtype) for low, high in self.levels]

    def check(
        self,
        model: str,
        sha256: str,
        request: Request,
        image: Any = None,
        network: str | None = None,
        runs: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Raise an `ImageError` unless the survey serves a model, a request and an image.

        Parameters
        ----------
        image : array, optional
            Some of its pixels are read.
        network : str, optional
            Fingerprint of the model.
        runs : sequence of tuple of int, optional
            The shapes of the means of each run that a plane has.
        """
        if sha256 != self.sha256:
            raise ImageError(
                f"the survey was made with the model {quoted(self.model)} of sha256 {quoted(self.sha256[:8])}, "
                f"not {quoted(model)} of {sha256[:8]!r}."
            )
        if network not in (None, self.network):
            made, asked_for = quoted(self.model), quoted(model)
            raise ImageError(f"the survey was made with {made}, not {asked_for} with these parameters and settings.")
        for name, asked in asdict(request).items():
            if name not in SERVES_ANY and (served := getattr(self.request, name)) != asked:
                raise ImageError(
                    f"the survey serves {name}={served!r:.99}, not {name}={asked!r:.99}; make one for this call."
                )
        if runs is not None and not all(_has_runs(plane, request, list(runs)) for plane in self.planes):
            raise ImageError("the survey is damaged: it lacks means that the model needs.")
        if image is not None and image_digest(image, request.layout) != self.image:
            raise ImageError("the survey was made of another image, or the image has changed since.")

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(self._content() | {"digest": self.digest}, indent=1)

    def _content(self) -> dict[str, Any]:
        content = {"format": FORMAT, "version": VERSION, "method": self.method}
        content |= {"model": self.model, "sha256": self.sha256, "network": self.network}
        content |= {"request": plain(self.request)}
        content |= {"levels": self.levels, "image": self.image, "environment": asdict(self.environment)}
        content |= {"sampling": asdict(self.sampling) if self.sampling else None}
        return content | {"planes": [plane.content() for plane in self.planes]}

    @classmethod
    def from_json(cls, text: str) -> Survey:
        """Read what `to_json` wrote.

        Raises
        ------
        ImageError
            If it is something else, or has been changed.
        """
        try:
            content = json.loads(text)
            if (found := (content["format"], content["version"])) != (FORMAT, VERSION):
                raise ValueError(f"it is {found[0]!r:.40} version {found[1]!r:.10}, not {FORMAT!r} version {VERSION}")
            survey = _read(content)
            if digest_of(content) != content["digest"]:
                raise ValueError("it has been changed since it was written")
        except NOT_A_SURVEY as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"this is no survey: {reason:.200}.") from None
        except ImageError as error:
            raise ImageError(f"this is no survey: {error!s:.200}") from None
        return survey

    def save(self, path: str | Path) -> None:
        """Write it to a file; a file of that name is replaced."""
        write_text(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Survey:
        """Read it from a file.

        Raises
        ------
        ImageError
            If it can't be read, or is no survey.
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ImageError(f"can't read the survey {str(path)!r}: {error.strerror or error}.") from None
        except UnicodeDecodeError:
            raise ImageError(f"{str(path)!r} is no survey: it isn't text.") from None
        except ImageError as error:
            raise ImageError(f"{str(path)!r}: {error}") from None
        except ValueError as error:  # a name that no file can have
            raise ImageError(f"can't read the survey {str(path)!r}: {error}.") from None


def digest_of(content: dict[str, Any]) -> str:
    """Return a hash of what a survey says, but for where and how it was made."""
    request = {name: value for name, value in content["request"].items() if name not in SERVES_ANY}
    content = content | {"environment": None, "method": None, "sampling": None, "digest": None, "request": request}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plain(request: Request) -> dict[str, Any]:
    """Return a request for JSON, without what its survey doesn't depend on where that is as ever."""
    content = asdict(request)
    return {name: value for name, value in content.items() if name not in SERVES_ANY or value != getattr(Request, name)}


def _has_runs(plane: PlaneSurvey, request: Request, shapes: list[tuple[int, int]]) -> bool:
    alpha = [] if plane.opaque or request.alpha != "network" else shapes
    return [[run.means.shape for run in runs] for runs in (plane.colours, plane.alpha)] == [shapes, alpha]


def _read(content: dict[str, Any]) -> Survey:
    wished = content["request"]
    shape, (height, width) = tuple(map(int, wished["shape"])), map(int, wished["target"])
    planes = tuple(map(PlaneSurvey.read, content["planes"]))
    # In a survey of an earlier version they are to be counted.
    passes = int(wished.get("passes", max((len(plane.colours) for plane in planes), default=0)))
    request = Request(**wished | {"shape": shape, "target": (height, width), "passes": passes})
    check_axes(layout := request.layout)
    levels = tuple((float(low), float(high)) for low, high in content["levels"])
    if (len(levels), len(planes)) != (layout.channels, layout.count):
        raise ValueError(f"it has {len(levels)} channels and {len(planes)} planes")
    if not all(isfinite(high - low) and low <= high for low, high in levels):
        raise ValueError("its levels of intensity are no numbers, low before high")
    sampling = content["sampling"]
    return Survey(
        str(content["model"]),
        str(content["sha256"]),
        request,
        levels,
        planes,
        str(content["image"]),
        Environment(**content["environment"]),
        str(content["network"]),
        Sampling(**sampling) if sampling else None,
    )
