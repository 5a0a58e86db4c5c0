"""Where a job meets a fault."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .job import Job
from .program import Program


@dataclass
class Stage:
    """A folder with the inputs of a job, and what runs there.

    Attributes
    ----------
    job : Job
    rng : random.Random
        Decides everything that is left to chance.
    scratch : Path
        A folder of this attempt alone.
    seconds : float
        What the job takes when nothing goes wrong.
    reference : Path
        The folder of such a run after it, with the inputs.
    environment : mapping of str to str
        Of every program: caches and temporary folders in `scratch`, the job's own.
    programs : list of Program
        All that were started.
    can_clean : bool
        Whether a program that isn't killed can remove what it leaves unfinished; the next run does so in any case.
    closing : ExitStack
        What ends with the stage, after the next run, such as a disk that it needs too.
    """

    job: Job
    rng: random.Random
    scratch: Path
    seconds: float
    reference: Path
    environment: Mapping[str, str]
    programs: list[Program] = field(default_factory=list)
    can_clean: bool = True
    closing: ExitStack = field(default_factory=ExitStack)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def folder(self) -> Path:
        """Where the job runs."""
        return self.scratch / "folder"

    def lay(self) -> None:
        """Put the inputs into the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.job.lay(self.folder)

    def start(self, before: Callable[[], None] | None = None, **environment: str) -> Program:
        """Start the job's command, with these variables too; see `Program`."""
        said = self.scratch / f"said-{next(self._numbers)}"
        variables = {**self.environment, **environment}
        self.programs.append(Program(self.job.arguments, self.folder, said, variables, before, self.job.program))
        return self.programs[-1]

    def moment(self, share: float = 1.1) -> float:
        """Return seconds after a start, at random up to a share of what the job takes."""
        return self.rng.uniform(0, share * self.seconds)
