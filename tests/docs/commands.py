"""Command blocks: their lines as words, and what is known of a command without running it."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import typer

from esc_plugin.cli import app
from esc_plugin.train.recipe import parse_change, read_recipe

from ..metadata import make_targets, project
from .pages import ROOT, Block

#: Words that only a shell understands. Loops are not known here.
SHELL = {"|", "||", "&", "&&", ";", "<", ">", ">>"}
#: What may stand before or behind a pipe, and runs where it is installed.
PIPED = ("cat", "grep", "jq", "magick")
#: What starts others: the command line is looked for behind it.
LAUNCHERS = ("srun", "torchrun")
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
#: What isn't run on any page, and why.
NOT_RUN = {
    "pip": "it changes the environment that the tests run in",
    "make": "its targets build environments, and run these tests",
    "pytest": "it would run these tests",
    "git": "it needs a network",
    "curl": "it needs a network",
    "apt-get": "it changes the system",
    "napari": "it opens a window; tests/napari has it",
    "cd": "it goes on from the command before it",
    "srun": "it needs a cluster",
    "torchrun": "it starts two processes, as tests/test_launch.py does",
    "python": "scripts have tests of their own",
}


@dataclass(frozen=True)
class Command:
    """A command as words, without comments, variables and quotes."""

    words: tuple[str, ...]
    line: str

    @property
    def program(self) -> str:
        """Return what runs, ``"esc-sr"`` for the command line however it is started."""
        name = self.words[0].rpartition("/")[2]
        if name in ("python", "python3") and self.words[1:3] == ("-m", "esc_plugin.cli"):
            return "esc-sr"
        return "python" if name == "python3" else name

    @property
    def arguments(self) -> list[str]:
        """Return what ``esc-sr`` is called with."""
        return list(self.words[1 if self.words[0].endswith("esc-sr") else 3 :])


def lines(text: str) -> Iterator[str]:
    """Return the lines of a block that are commands; those that go on after a backslash as one."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.strip().startswith("#"):
            yield line.strip()


def needs_shell(line: str) -> bool:
    return bool(SHELL & set(_words(line)))


def commands(block: Block, variables: dict[str, str]) -> Iterator[Command]:
    """Return the commands of a block; its assignments are added to `variables`."""
    for line in lines(block.text):
        words: list[str] = []
        for word in [*_words(Template(line).safe_substitute(variables)), ";"]:
            if word not in SHELL:
                words.append(word)
                continue
            if word in (">", ">>", "<"):  # what follows is a file
                words.append("")
                continue
            while words and (found := ASSIGNMENT.fullmatch(words[0])):
                variables[found[1]] = found[2]
                del words[0]
            if words:
                yield Command(tuple(words[: words.index("")] if "" in words else words), line)
            words = []


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def check(command: Command) -> None:
    """Find out without running it whether a command can be right.

    Raises
    ------
    Exception
        If there is no such command, option, value, target, extra or file.
    """
    program, words = command.program, command.words
    if program == "esc-sr":
        parse(command.arguments)
    elif program in LAUNCHERS:
        parse(list(words[words.index("esc_plugin.cli") + 1 :]))
    elif program == "make":
        missing = {word for word in words[1:] if "=" not in word} - make_targets()
        assert not missing, f"no target of the Makefile: {missing}"
    elif program == "pip":
        _check_pip(words)
    elif program in ("python", "pytest"):
        _check_python(words[1:])
    else:
        assert program in (*NOT_RUN, *PIPED), f"nothing is known of {program!r}: say in {__name__} how it is checked or run"


def parse(arguments: list[str]) -> None:
    """Let the command line read its arguments, and do nothing."""
    name, *rest = arguments
    program: Any = typer.main.get_command(app)
    if name.startswith("-"):
        assert name in options(), f"no option: {name!r}"
        return
    assert name in program.commands, f"no command: {name!r}"
    values = program.commands[name].make_context(name, rest).params
    if name == "train":
        read_recipe(values["recipe"], {"init": values["init"] or ""} | dict(map(parse_change, values["changes"] or [])))


@cache
def options() -> set[str]:
    """Return the options of all commands."""
    program: Any = typer.main.get_command(app)
    found = [parameter for command in (program, *program.commands.values()) for parameter in command.params]
    return {"--help"} | {name for parameter in found for name in (*parameter.opts, *parameter.secondary_opts)}


def _check_pip(words: tuple[str, ...]) -> None:
    for word in words:
        if found := re.fullmatch(r"(?:\.|esc-plugin)\[([\w,-]+)\]", word):
            missing = set(found[1].split(",")) - set(project()["optional-dependencies"])
            assert not missing, f"no extra: {missing}"
        if word.endswith("requirements.txt"):
            assert (ROOT / Path(word).name).is_file()


def _check_python(words: tuple[str, ...]) -> None:
    """A script is there and has the options, a module is there, so are the files and folders that are named."""
    if words[:1] == ("-m",):
        assert importlib.util.find_spec(words[1]), f"no module: {words[1]}"
        return
    text = (ROOT / words[0]).read_text(encoding="utf-8") if words[0].endswith(".py") else None
    for word in words:
        if word.startswith(("tests", "benchmarks/", "docs/")):
            assert (ROOT / word).exists(), f"no file: {word}"
        if text and word.startswith("--"):
            assert f'"{word}"' in text or f'"{word[2:]}"' in text, f"no option of {words[0]}: {word}"


def takes(name: str, option: str) -> bool:
    """Whether a command has an option."""
    program: Any = typer.main.get_command(app)
    return any(option in parameter.opts for parameter in program.commands[name].params)


def words_wrong_in(code: str) -> list[str]:
    """Return what is wrong in a part of a command, such as ``esc-sr models --verify``."""
    words = _words(code)[1:]
    program: Any = typer.main.get_command(app)
    names, given = set(program.commands), [word.partition("=")[0] for word in words if word.startswith("--")]
    if words[0].startswith("-"):
        return [word for word in given if word not in options()]
    if words[0] not in names:
        return [code]
    return [f"{code}: {word}" for word in given if word != "--help" and not takes(words[0], word)]
