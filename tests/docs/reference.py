"""The reference of the command line, docs/commands.md: ``python -m tests.docs.reference`` writes it anew.

What stands above and below its two marks is written by hand. It is made of what the commands declare and not of typer's own
pages of help, which change from version to version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import groupby
from typing import Any

import typer

from esc_plugin.cli import app

from .pages import ROOT

PAGE = ROOT / "docs" / "commands.md"
MARKS = "<!-- Made by `python -m tests.docs.reference`: change esc_plugin/cli, not this. -->", "<!-- Until here. -->"


def renewed(text: str) -> str:
    """Return the page with what is made put in anew."""
    above, below = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
    return "\n".join([above + MARKS[0], "", *reference(), MARKS[1] + below])


def reference() -> Iterator[str]:
    """Return the lines about all commands."""
    program: Any = typer.main.get_command(app)
    yield "| command | what it does |\n|---|---|"
    for name, command in program.commands.items():
        yield row(f"[`{name}`](#esc-sr-{name})", sentences(command)[0])
    yield ""
    yield from table("without a command", program.params)
    for name, command in program.commands.items():
        yield from section(name, command)


def section(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    yield f"## esc-sr {name}\n"
    yield "\n\n".join(sentences(command)) + "\n"
    yield f"```text\n{' '.join(['esc-sr', name, '[OPTIONS]', *map(signature, arguments)])}\n```\n"
    yield from table("argument", arguments)
    for panel, members in groupby(sorted(options, key=panel_of), panel_of):
        yield from table(panel or "option", list(members))


def table(title: str, parameters: Sequence[Any]) -> Iterator[str]:
    if parameters:
        yield f"| {title} | | default |\n|---|---|---|"
        yield from (row(f"`{signature(one)}`", one.help or "", default(one)) for one in parameters)
        yield ""


def panel_of(parameter: Any) -> str:
    return getattr(parameter, "rich_help_panel", None) or ""


def sentences(command: Any) -> list[str]:
    """Return what a command says of itself, a paragraph each."""
    return [" ".join(part.split()) for part in command.help.split("\n\n")]


def signature(parameter: Any) -> str:
    """Return a parameter as it is typed, such as ``-o, --output PATH``."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    names = sorted(parameter.opts, key=len)
    value = "" if parameter.is_flag else parameter.metavar or names[-1].rpartition("-")[2].upper()
    return " / ".join([", ".join(names), *parameter.secondary_opts]) + f" {value}".rstrip()


def default(parameter: Any) -> str:
    """Return the value that counts if none is given."""
    value = parameter.default
    if parameter.required:
        return "needed"
    if parameter.secondary_opts:
        return (parameter.opts if value else parameter.secondary_opts)[0]
    return (
        "" if value is None or value is False or callable(value) else str(value.value if isinstance(value, Enum) else value)
    )


def row(*cells: str) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
