"""What must be true after a fault, and after the next run."""

from __future__ import annotations

from pathlib import Path

from .job import files_in, is_unfinished
from .program import Program
from .stage import Stage

#: The longest of what a program may say when it fails: a line for a person.
LONGEST_ERROR = 1000
#: Exit codes of a program that refuses.
REFUSALS = (1, 2)


class FaultError(Exception):
    """Something isn't as it must be.

    Parameters
    ----------
    sort : str
        One of `tests.hostile.case.FAULTS`.
    """

    def __init__(self, sort: str, text: str) -> None:
        super().__init__(text)
        self.sort = sort


def after_fault(stage: Stage) -> None:
    """Check what every program of a stage said and left."""
    for program in stage.programs:
        ended_well(program, stage.job.most_errors)
    results_are_whole(stage)
    codes = [program.process.exitcode for program in stage.programs]
    if 0 in codes:
        nothing_is_missing(stage)
    if stage.can_clean and not any(code is not None and code < 0 for code in codes):
        nothing_unfinished(stage)


def after_next_run(stage: Stage, program: Program) -> None:
    """Check that the same command then comes to the result of an undisturbed run, and clears what dead programs left."""
    whole_run(stage, program)
    nothing_is_missing(stage)
    results_are_whole(stage, also_partial=True)
    nothing_unfinished(stage)


def whole_run(stage: Stage, program: Program) -> None:
    """Check that a program did what it was asked."""
    ended_well(program, stage.job.most_errors)
    if program.process.exitcode != 0:
        raise FaultError("wrong", f"the next run failed: exit {program.process.exitcode}: {program.said[-300:]!r}")
    inputs_are_as_before(stage)


def ended_well(program: Program, most_errors: int = 1) -> None:
    """Check that a program came to an end, by itself or by the signal that it was sent, and with one line if it failed."""
    code, said = program.process.exitcode, program.said
    if program.hung:
        raise FaultError("hang", f"no end: {said[-300:]!r}")
    if "Traceback" in said or "a fault of this program" in said:
        raise FaultError("traceback", said[-400:])
    if code is None or (code < 0 and -code != program.killed):
        raise FaultError("crash", f"exit {code}: {said[-300:]!r}")
    if code > 0 and code != 128 + program.killed:
        if code not in REFUSALS:
            raise FaultError("traceback", f"exit {code}: {said[-300:]!r}")
        lines = [line for line in said.splitlines() if line.startswith("error:")]
        heard = said or not program.unheard
        if heard and (not 1 <= len({*lines}) == len(lines) <= most_errors or max(map(len, lines)) > LONGEST_ERROR):
            raise FaultError("traceback", f"exit {code} with {len(lines)} lines of error: {said[-300:]!r}")
    if alive := program.left():
        raise FaultError("hang", f"{alive[0]!r} lives on")


def results_are_whole(stage: Stage, also_partial: bool = False) -> None:
    """Check that each file is an input as it was, or a result as an undisturbed run makes it."""
    inputs_are_as_before(stage)
    for name in sorted(stage.job.results_in(stage.folder)):
        if stage.job.may_be_partial(name) and not also_partial:
            continue
        wanted = stage.reference / name
        if not wanted.exists():
            raise FaultError("half file", f"{name!r} stayed behind")
        if not stage.job.same(stage.folder / name, wanted):
            raise FaultError("half file", f"{name!r} isn't whole")


def inputs_are_as_before(stage: Stage) -> None:
    """Check that nothing was done to the inputs."""
    for name, content in stage.job.inputs.items():
        path = stage.folder / name
        if not path.is_file() or path.read_bytes() != content:
            raise FaultError("half file", f"the input {name!r} was changed")


def nothing_is_missing(stage: Stage) -> None:
    """Check that all results are there."""
    if missing := stage.job.results_in(stage.reference) - files_in(stage.folder):
        raise FaultError("wrong", f"{min(missing)!r} is missing after a run that told no error")


def nothing_unfinished(stage: Stage) -> None:
    """Check that no unfinished file is there, neither beside the results nor in the folder for temporary files."""
    places = (stage.folder, Path(stage.environment["TMPDIR"]))
    for place in places:
        found = {path.relative_to(place).as_posix() for path in place.rglob("*")}
        if left := [name for name in found if is_unfinished(name) or place is places[1]]:
            raise FaultError("half file", f"{min(left)!r} stayed behind in the {place.name} folder")
