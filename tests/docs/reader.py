"""A reader who types what a page says, in its order."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from esc_plugin.catalog.manifest import read_manifest
from esc_plugin.catalog.menu import find_model
from esc_plugin.export.formats import FORMATS
from esc_plugin.strict_yaml import parse_yaml
from esc_plugin.train.recipe import Recipe, read_recipe

from .commands import NOT_RUN, PIPED, Command, check, commands, needs_shell, takes
from .files import arrays
from .pages import PAGES, ROOT, Block

#: What stands for something of the reader's, and what is too large or too long for a test.
INSTEAD = {
    "MODEL": "esc-nano-x2",
    "{repo}": "esc-nano-x2",
    "4K": "300x200",
    "3840x2160": "300x200",
    "3840": "96",
    "20000:21000,35000:36000": "10:30,20:50",
    "310,230,110,100": "10,10,60,50",
}
#: What is added to a command so that it takes seconds; exported files are compared with torch by tests of their own.
SHORT = {
    "train": ["--iterations", "2", "--set", "data.batch=2", "--set", "data.patch=16", "--set", "data.workers=0"],
    "export": ["--no-check"],
    "inspect": ["--steps", "2"],
}
#: Of a command that is slow with any of these, which are there.
SMALL = {"export": "small.pth", "inspect": "small.pth"}
#: Of a training, which would be done by the clock.
BY_THE_CLOCK = {"--minutes", "--iterations"}
#: Packages that only some environments of tests have, and which tests run the blocks that import them.
ELSEWHERE = {"napari": "tests/napari/test_docs.py", "napari_esc": "tests/napari/test_docs.py"}
#: What a failed test of pytest's raises is no `Exception`.
FAILURES = (Exception, SystemExit, pytest.fail.Exception)


class Reader:
    """Runs the blocks of one page; what went wrong is in `failures`, with its place."""

    def __init__(self, esc_sr: Callable[..., str]) -> None:
        self.esc_sr = esc_sr
        self.failures: list[str] = []
        self.names: dict[str, Any] = {"__name__": "__main__"} | arrays()
        self.variables = {"SLURM_ARRAY_TASK_ID": "1"}
        self.readers = {"python": self.python, "sh": self.shell, "yaml": self.yaml}

    def read(self, block: Block) -> None:
        text = re.sub(
            "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in INSTEAD), lambda found: INSTEAD[found[0]], block.text
        )
        self.readers.get(block.language, lambda block: None)(replace(block, text=text))

    @contextmanager
    def noted(self, place: str, what: str) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self.failures.append(f"{place}: {what}\n    {type(error).__name__}: {error}")

    def python(self, block: Block) -> None:
        """Run a block, or see that it compiles and that what it imports of ours is there."""
        with self.noted(block.place, "```python"):
            # Tracebacks show the lines of the page.
            code = compile("\n" * block.line + block.text, str(PAGES[block.page]), "exec", dont_inherit=True)
            imports = list(imported(block.text))
            for module, name in imports:
                _check_import(module, name)
            elsewhere = {top(module) for module, _ in imports} & ELSEWHERE.keys()
            if (not elsewhere or installed("napari")) and not block.not_run:
                exec(code, self.names)  # noqa: S102

    def shell(self, block: Block) -> None:
        """Check all commands of a block, and run those that can be: a line with a pipe or the like in a shell."""
        found = list(commands(block, self.variables))
        for command in found:
            with self.noted(block.place, command.line):
                check(command)
        if block.not_run:
            return
        for line, group in groupby(found, lambda command: command.line):
            members = list(group)
            if any(map(why_not, members)):
                continue
            with self.noted(block.place, line):
                if needs_shell(line):
                    run_in_shell(line)
                else:
                    self.esc_sr(*quick(members[0].arguments))

    def yaml(self, block: Block) -> None:
        """Read models as a manifest, recipes as a recipe, and the rest strictly."""
        with self.noted(block.place, "```yaml"):
            text = re.sub(r"sha256: *(0f\.\.\.)?(?= )", "sha256: '" + 64 * "0" + "'", block.text)
            content = parse_yaml(text, block.place)
            if isinstance(content, list):
                text = "models:\n" + text
            elif "data" in content and "model" not in content:  # a part of a recipe
                text = "init: esc-nano-x2\n" + text
            path = Path("page.yaml")
            path.write_text(text, encoding="utf-8")
            if isinstance(content, list) or content.keys() & {"models", "defaults"}:
                read_manifest(path)
            elif content.keys() <= {entry.name for entry in fields(Recipe)}:
                read_recipe(path)


def why_not(command: Command) -> str:
    """Say why a command isn't run; the empty text if it is."""
    if command.program in PIPED:
        return "" if shutil.which(command.program) else "it isn't installed"
    if command.program != "esc-sr":
        return NOT_RUN[command.program]
    name, *rest = command.arguments
    if name == "--install-completion":
        return "it changes the settings of a shell"
    if name == "try":
        return "it shows a page until it is stopped; tests/page has it"
    if any("://" in word for word in rest):
        return "it needs an account"
    if name == "publish" and "--dry-run" not in rest:
        return "it needs an account"
    if name == "export":
        missing = [form.extra for form in FORMATS if form.suffix == Path(rest[1]).suffix and not installed(form.extra)]
        return f"it needs {missing[0]}; tests/test_export_*.py have it" if missing else ""
    return ""


def installed(extra: str) -> bool:
    module = {"export": "onnxruntime", "coreml": "coremltools"}.get(extra, extra)
    return importlib.util.find_spec(module) is not None


def quick(arguments: list[str]) -> list[str]:
    """Return arguments whose work is small; what is there already is replaced."""
    name, *rest = arguments
    if name.startswith("-"):
        return arguments
    if name in SMALL and find_model(rest[0]):
        rest[0] = SMALL[name]
    if name == "train":
        rest = [word for before, word in zip(arguments, rest, strict=False) if not {before, word} & BY_THE_CLOCK]
    if "--workers" in rest:
        rest += ["--workers", "2"]
    replaced = takes(name, "--overwrite") and "--skip-existing" not in rest
    return [name, *rest, *SHORT.get(name, []), *["--overwrite"] * replaced]


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Return modules that a block imports and names that it wants of them; relative imports are not told."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def top(module: str) -> str:
    return module.partition(".")[0]


def _check_import(module: str, name: str) -> None:
    if top(module) == "esc_plugin" and name:
        found = importlib.import_module(module)
        assert hasattr(found, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module} has no {name}"
    elif top(module) in ("esc_plugin", "napari_esc"):
        assert importlib.util.find_spec(module), f"no module {module}"


def run_in_shell(text: str) -> None:
    """Run a line in bash, whose ``esc-sr`` is this tree's."""
    script = f'set -euo pipefail\nesc-sr() {{ "{sys.executable}" -m esc_plugin.cli "$@"; }}\n{text}'
    environment = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
