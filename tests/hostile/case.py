"""What a case is, and what can become of it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

#: What a case comes to: taken and right, refused by an error of ours, or a fault.
RIGHT, REFUSED = "right", "refused"
#: The faults: another class than ours, no end, too much memory, a picture that isn't what it should be, a file that stays
#: behind a refusal or differs from what was said, something run or touched that must not be, the end of the process.
FAULTS = ("traceback", "hang", "memory", "wrong", "half file", "code run", "crash")

#: Processor seconds, and seconds of waiting, after which a case hangs.
MOST_SECONDS, MOST_WAITING = 10.0, 120.0
#: What a case may take above what the process has before it: a multiple of what the largest case needs.
MOST_BYTES = 256 * 2**20
#: Characters of an error: a line for a person.
LONGEST_ERROR = 1000


class WrongError(Exception):
    """Something was taken, and what came of it is not what it should be."""


class RefusedError(Exception):
    """A refusal that was caught on its way, such as a command's line.

    Parameters
    ----------
    about : str
        Its class, for the table.
    text : str
        What it says.
    """

    def __init__(self, about: str, text: str = "") -> None:
        super().__init__(about)
        self.text = text


@dataclass(frozen=True)
class Case:
    """Something hostile.

    Attributes
    ----------
    what : str
        What it is, for people.
    files : mapping of str to bytes
        What lies in the folder, by relative name.
    attempt : callable
        ``attempt(folder)`` gives it to the program. It returns the names of the files that it made, raises a `WrongError`,
        or whatever the program raises.
    network : bool
        Whether names of other machines may be asked for; nobody answers.
    kept : tuple of str
        Files and folders that may be made or changed whatever comes of it, such as a cache.
    """

    what: str
    files: Mapping[str, bytes]
    attempt: Callable[[Path], object]
    network: bool = False
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    result: str
    what: str = ""
    #: Class of the error; of a fault, what was seen.
    about: str = ""
    seconds: float = 0.0
    #: Bytes above what the process had before.
    peak: int = 0
    #: What a refusal says, without what it says of this case alone.
    reason: str = ""


@dataclass
class Tally:
    """What became of the cases of a kind."""

    kind: str
    cases: int = 0
    right: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[int, Outcome]] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0
    #: Which check refused how many: where nearly all cases end at one, nothing behind it is tried.
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, number: int, outcome: Outcome) -> None:
        """Count the outcome of a case."""
        self.cases += 1
        self.seconds += outcome.seconds
        self.peak = max(self.peak, outcome.peak)
        if outcome.result == RIGHT:
            self.right += 1
        elif outcome.result == REFUSED:
            self.refused[outcome.about] = self.refused.get(outcome.about, 0) + 1
            self.reasons[outcome.reason] += 1
        else:
            self.faults.append((number, outcome))


def rng_of(kind: str, seed: int, number: int) -> random.Random:
    """Return what decides everything about a case."""
    return random.Random(f"{kind} {seed} {number}")


def reason_of(text: str, folder: str) -> str:
    """Return what a refusal says, with the same sign for whatever differs from case to case."""
    plain = re.sub(r"^can't (upscale|read) #: ", "", _masked(text.replace(folder, "")))
    return re.sub(r"( #)+", " #", plain)[:110]


def _masked(text: str) -> str:
    return re.sub(r"""(?<![A-Za-z])'[^']*'|"[^"]*"|\b0x\w+|[\d.,]*\d|[^ -~]+""", "#", text)


def check(holds: object, problem: str) -> None:
    """Raise a `WrongError` unless something holds."""
    if not holds:
        raise WrongError(problem)
