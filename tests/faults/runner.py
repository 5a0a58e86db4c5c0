"""Jobs that meet faults, and what is true after it."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hostile.case import REFUSED, RIGHT, Outcome, rng_of

from .jobs import job_of
from .kinds import fault_of
from .program import Program
from .stage import Stage
from .truth import FaultError, after_fault, after_next_run, whole_run

#: Where programs keep what they want to keep.
HOMES = (
    "HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "HF_HOME",
    "ESC_MODELS_DIR",
    "TMPDIR",
    "MPLCONFIGDIR",
    "TORCHINDUCTOR_CACHE_DIR",
)
#: Seconds that a job may take, on however busy a machine.
MOST_SECONDS = 300.0


class Runner:
    """Makes jobs meet faults, one after the other, in a folder of its own.

    Its processes come from one that has everything imported, and keeps what was in the environment when the first of them
    was started; so there can be one runner at a time.
    """

    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="esc-faults-"))
        self.homes = {name: str(self.scratch / "homes" / name) for name in HOMES}
        self.before = {name: os.environ.get(name) for name in HOMES}
        self.references: dict[str, tuple[Path, float]] = {}

    def __enter__(self) -> Runner:
        os.environ.update(self.homes)
        return self

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, kind: str, name: str, seed: int, number: int) -> Outcome:
        """Let a job meet a fault.

        Parameters
        ----------
        kind : str
            Of the fault.
        name : str
            Of the job.
        """
        reference, seconds = self._reference(name)
        began = time.monotonic()
        what = f"{kind}, {name}"
        with self._stage(name, reference, seconds, seed, number, kind) as stage:
            try:
                with fault_of(kind)(stage) as what:
                    after_fault(stage)
                first = stage.programs[0]
                again = stage.start()
                again.finish(MOST_SECONDS)
                after_next_run(stage, again)
            except FaultError as error:
                return Outcome(error.sort, f"{name}: {what}", str(error), time.monotonic() - began)
        result, about = (RIGHT, "") if first.process.exitcode == 0 else (REFUSED, ending(first))
        return Outcome(result, f"{name}: {what}", about, time.monotonic() - began)

    def _reference(self, name: str) -> tuple[Path, float]:
        """Run a job undisturbed, once, and return its folder and the seconds that it takes."""
        if name not in self.references:
            kept = self.scratch / "references" / name
            with self._stage(name, kept, 0.0, 0, 0, "none") as stage:
                for _ in range(2):  # the second time everything is in the disk's cache
                    shutil.rmtree(stage.folder, ignore_errors=True)
                    stage.lay()
                    start = time.monotonic()
                    program = stage.start()
                    program.finish(MOST_SECONDS)
                    seconds = time.monotonic() - start
                whole_run(stage, program)
                shutil.copytree(stage.folder, kept)
            self.references[name] = kept, seconds
        return self.references[name]

    @contextmanager
    def _stage(self, name: str, reference: Path, seconds: float, seed: int, number: int, kind: str) -> Iterator[Stage]:
        for home in self.homes.values():
            shutil.rmtree(home, ignore_errors=True)
            Path(home).mkdir(parents=True)
        scratch, job = self.scratch / "stage", job_of(name)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        with job.service() as served:
            environment = {**self.homes, **job.environment, **served}
            stage = Stage(job, rng_of(f"{kind} {name}", seed, number), scratch, seconds, reference, environment)
            try:
                yield stage
            finally:
                for program in stage.programs:
                    program.finish(0)
                stage.closing.close()


def ending(program: Program) -> str:
    """Return how a program ended, in words."""
    code = program.process.exitcode or 0
    if code < 0:
        return signal.Signals(-code).name
    return signal.Signals(code - 128).name if code > 128 else f"exit {code}"
