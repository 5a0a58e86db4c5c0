"""The command line in a process of its own: many commands in one, since starting torch takes longer than most of them."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
#: Runs the command line with each of several lists of arguments, where some packages can't be imported.
PROGRAM = r"""
import contextlib, io, json, sys, traceback
hidden = json.loads(sys.argv[1])
sys.modules |= dict.fromkeys(hidden)
if "torch" not in hidden:
    from tests.mend import mend_torchvision
    mend_torchvision()
from esc_plugin.cli import main
results = []
for arguments in json.loads(sys.argv[2]):
    sys.argv = ["esc-sr", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
        except BaseException:
            code = 1
            traceback.print_exc()
    results.append([code, out.getvalue() + err.getvalue()])
print(json.dumps(results))
"""


MAKE = typer.main.get_command


@functools.cache
def _made(commands: int) -> Any:
    from esc_plugin import cli

    assert len(cli.app.registered_commands) == commands
    return MAKE(cli.app)


def made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let typer make the program once, as in a process of its own; with each call of a test it would be most of the work."""
    monkeypatch.setattr("typer.main.get_command", lambda app: _made(len(app.registered_commands)))


def inside_the_test(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs ``esc-sr`` in this process and returns what it said; its exit code is checked."""
    from esc_plugin import cli

    monkeypatch.setenv("COLUMNS", "300")
    made_once(monkeypatch)

    def run(*arguments: object, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["esc-sr", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            cli.main()
        out, err = capsys.readouterr()
        assert (done.value.code or 0) == code, out + err
        return out + err

    return run


def run_commands(*runs: Sequence[object], missing: Sequence[str] = ()) -> list[tuple[int | str, str]]:
    """Run ``esc-sr`` with each list of arguments, in one process, and return exit codes and what was said.

    Parameters
    ----------
    missing : sequence of str
        Packages that can't be imported there.
    """
    arguments = [[str(argument) for argument in run] for run in runs]
    command = [sys.executable, "-c", PROGRAM, json.dumps(list(missing)), json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=ENVIRONMENT)
    return [(code, said) for code, said in json.loads(done.stdout.splitlines()[-1])]
