"""Command lines of nonsense: a result, or one line; what was there before stays as it was."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from esc_plugin import EscError, cli
from esc_plugin.cli import program
from esc_plugin.cli.report import Report

from ...commands import made_once
from ...mend import mend_torchvision
from ...test_cli_nonsense import COMMANDS, NONSENSE, PLACES, WORK, filled, slots
from ...test_hub import point_to
from ..case import Case, RefusedError, check
from ..mutate import retyped
from ..weights import files

mend_torchvision()
with contextlib.suppress(ImportError):  # which asks the system for its fonts
    import matplotlib.font_manager  # noqa: F401

#: Numbers that are large enough to be refused, or small enough to be quick.
NUMBERS = (
    "0",
    "1",
    "-1",
    "2",
    "3",
    "0.5",
    "1e-3",
    "1e12",
    "99999999999",
    "64x48",
    "200%",
    "4k",
    "1GB",
    "2MB",
    "1,2,3,4",
    "0:5",
    "cpu",
    "auto",
)


@cache
def inputs() -> dict[str, bytes]:
    """Return the files that commands are given."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    found = {"model/random.safetensors": files()[0]}
    for name, factor in (("a.png", 1), ("b.png", 2), ("images/c.png", 3)):
        file = io.BytesIO()
        Image.fromarray(pixels.repeat(factor, 0).repeat(factor, 1)).save(file, "PNG")
        found[name] = file.getvalue()
    return found


def case(rng: Random) -> Case:
    """Return a command with nonsense in one place or several."""
    command = rng.choice([name for name in sorted(COMMANDS) if slots(name)])
    places = slots(command)
    chosen = [(rng.choice(places), _value(rng)) for _ in range(rng.choice((1, 1, 2, 3)))]
    flags = (
        [p.opts[0] for p in COMMANDS[command].params if getattr(p, "is_flag", False) and p.opts[0] != "--help"]
        if rng.random() < 0.3
        else []
    )
    extra = rng.sample(flags, min(len(flags), rng.choice((1, 2))))
    cut = rng.randrange(6) if rng.randrange(10) == 0 else None
    what = f"{command} {' '.join(f'{slot[0]}={value[:30]!r}' for slot, value in chosen)} {' '.join(extra)}"
    return Case(what, inputs(), lambda folder: attempted(folder, command, chosen, extra, cut))


def _value(rng: Random) -> str:
    return rng.choice((rng.choice(NONSENSE), rng.choice(PLACES), rng.choice(NUMBERS), retyped(rng, rng.choice(NUMBERS))))


def attempted(folder: Path, command: str, chosen: Any, extra: list[str], cut: int | None) -> list[str]:
    """Run the command line in this process."""
    places = {name: folder / name for name in ("images", "out", "cwd", "nothing")}
    for name in ("out", "cwd"):
        places[name].mkdir()
    places |= {"image": folder / "a.png", "large": folder / "b.png", "weights": folder / "model/random.safetensors"}
    places["loop"] = folder / "loop"
    with contextlib.suppress(OSError):  # Windows wants rights for that
        places["loop"].symlink_to(places["loop"])
    arguments = filled(command, *chosen[0], places)
    for slot, value in chosen[1:]:
        if not slot[0].isdigit():
            given = value.format(**places) if value in PLACES else value
            arguments += [slot[0], *[given] * slot[1]]
    code, said, refusal = _run([command, *arguments, *extra][:cut], folder)
    check("Traceback" not in said and " failed: " not in said, f"a traceback, or the line that hides one: {said[-300:]!r}")
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    if code == 1:
        check(len(errors) == 1, f"{len(errors)} lines of errors: {said[-300:]!r}")
        check(refusal.startswith("esc_plugin."), f"an error of the class {refusal}")
    check(code in (0, 1, 2), f"exit code {code}")
    (folder / "loop").unlink(missing_ok=True)
    if code:
        raise RefusedError(refusal.rpartition(".")[2], (errors or said.splitlines() or [""])[-1])
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.relative_to(folder).as_posix() not in inputs()
    ]


def _text(said: io.TextIOWrapper) -> str:
    """Return what was said; a result may have gone the same way."""
    assert isinstance(said.buffer, io.BytesIO)
    return said.buffer.getvalue().decode("utf-8", "replace")


def _run(arguments: list[str], folder: Path) -> tuple[int, str, str]:
    """Return the exit code, what was said, and the class of the error behind it."""
    fail, report_error, refusal = program.fail, Report.fail, "usage"

    def failed(text: str, code: int) -> None:
        nonlocal refusal
        refusal = "{0.__module__}.{0.__name__}".format(sys.exc_info()[0] or type(None))
        fail(text, code)

    def reported(report: Report, job: Any, error: str) -> None:
        nonlocal refusal
        refusal = f"{Report.__module__}.error"  # of one file of many, by its text
        report_error(report, job, error)

    def stopped(*_: Any, **__: Any) -> None:
        raise EscError("reached the work.")

    before, said = Path.cwd(), io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace", write_through=True)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        point_to("http://127.0.0.1:9", patch, folder)
        patch.setenv("COLUMNS", "200")
        made_once(patch)
        patch.setattr(program, "fail", failed)
        patch.setattr(Report, "fail", reported)
        for place in WORK:
            patch.setattr(place, stopped)
        patch.setattr(sys, "argv", ["esc-sr", *arguments])
        os.chdir(folder / "cwd")
        try:
            cli.main()
        except SystemExit as done:
            return int(done.code or 0), _text(said), refusal
        finally:
            os.chdir(before)
    return 0, _text(said), refusal
