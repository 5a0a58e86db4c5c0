"""The growing survey of an image: what all processes have found out together so far, in a file that only grows.

A line for each sum of the plane that is being worked on, and one for each plane that is known. Sums are exact, so they
don't depend on how many processes made them, and any number goes on with them. Each line has a hash of itself and of all
before it: one that was damaged, lost or written twice would make another picture, and nobody would see it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays.surveyed import PlaneSurvey
from ..disk import write_text
from ..errors import ImageError
from ..survey import NOT_A_SURVEY, Survey

#: Of the file.
FORMAT, VERSION = "esc journal", 2
#: The hash of a line.
CHECK = "check"


@dataclass
class Journal:
    """What is known of an image.

    Attributes
    ----------
    head : Survey
        All of it but the planes, in whose place there are empty ones.
    precision : str
        Of the feature maps, where the work began.
    planes : list of PlaneSurvey
        Those that are known, from the first on.
    sums : deque of Tensor
        Of the next plane, in the order in which they are asked for.
    """

    head: Survey
    precision: str
    planes: list[PlaneSurvey] = field(default_factory=list)
    sums: deque[Tensor] = field(default_factory=deque)

    def header(self) -> str:
        """Return the first line of the file."""
        content = {"format": FORMAT, "version": VERSION, "precision": self.precision}
        return line_of(content | {"survey": json.loads(self.head.to_json())})

    @property
    def survey(self) -> Survey:
        """What is known of the image, with as many planes as are known."""
        return replace(self.head, planes=tuple(self.planes))

    def check(self, precision: str) -> None:
        """Raise an `ImageError` unless work that begins in a precision can go on with it."""
        if precision != self.precision:
            raise ImageError(f"it was begun in {self.precision!r:.40}, not in {precision!r}.")

    @classmethod
    def read(cls, text: str) -> Journal:
        """Return what a file holds; its last line may be torn, if the process that wrote it was killed.

        Raises
        ------
        ImageError
            If it is something else.
        """
        first, *lines = whole_lines(text).splitlines() or [text]
        try:
            content = json.loads(first)
            if content["format"] != FORMAT or content["version"] != VERSION:
                raise ValueError(f"it is no {FORMAT!r} version {VERSION}")
            found, check = cls(Survey.from_json(json.dumps(content["survey"])), str(content["precision"])), _checked(content)
            for line in map(json.loads, lines):
                check = _checked(line, check)
                found._take(line)
        except NOT_A_SURVEY as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(f"it can't be read as {FORMAT!r}: {reason:.200}.") from None
        return found

    def _take(self, line: dict[str, Any]) -> None:
        if "sum" in line:
            self.sums.append(_read_sum(line["sum"]))
            return
        if len(self.planes) == len(self.head.planes):
            raise ValueError("it has too many planes")
        self.planes.append(PlaneSurvey.read(line["plane"]))
        self.sums.clear()


@dataclass
class JournalFile:
    """The file of a `Journal`, which one process writes."""

    path: Path
    _check: str = ""

    def read(self) -> str | None:
        """Return what is there, if anything is."""
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ImageError(f"can't read {str(self.path)!r}: {getattr(error, 'strerror', None) or error}.") from None

    def begin(self, text: str) -> None:
        """Write the file anew."""
        write_text(self.path, text)
        self._check = _check_in(text)

    def add_sum(self, total: Tensor) -> None:
        """Add a sum."""
        self._add({"sum": {"shape": list(total.shape), "float64": _coded(total)}})

    def add_plane(self, plane: PlaneSurvey) -> None:
        """Add a plane that is known now."""
        self._add({"plane": plane.content()})

    def _add(self, content: dict[str, Any]) -> None:
        # Not synchronized with the disk: what a machine forgets as it stops is made again.
        line = line_of(content, self._check)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)
        self._check = _check_in(line)

    def remove(self) -> None:
        """Remove the file. Where that can't be done, it is found complete the next time."""
        with suppress(OSError):
            self.path.unlink()


def line_of(content: dict[str, Any], before: str = "") -> str:
    """Return a line of the file; `before` is the hash of the one before it."""
    return json.dumps(content | {CHECK: _hash(content, before)}, separators=(",", ":")) + "\n"


def _hash(content: dict[str, Any], before: str) -> str:
    return hashlib.sha256((before + json.dumps(content, sort_keys=True)).encode()).hexdigest()[:32]


def _checked(content: dict[str, Any], before: str = "") -> str:
    """Return the hash of a line; a `ValueError` if it isn't what was written behind the line of the hash `before`."""
    own: str = _hash({name: value for name, value in content.items() if name != CHECK}, before)
    if content[CHECK] != own:
        raise ValueError("a line has been changed or lost since it was written")
    return own


def _check_in(text: str) -> str:
    return str(json.loads(text.splitlines()[-1])[CHECK])


def _coded(total: Tensor) -> str:
    values = total.detach().to("cpu", torch.float64).contiguous().numpy()
    return base64.b64encode(values.astype("<f8").tobytes()).decode()


def _read_sum(content: dict[str, Any]) -> Tensor:
    values = np.frombuffer(base64.b64decode(content["float64"], validate=True), "<f8").astype(np.float64)
    return torch.from_numpy(values.reshape(content["shape"]))


def whole_lines(text: str) -> str:
    """Return a text without a last line that was torn."""
    return text[: text.rfind("\n") + 1]
