"""What `comfy_stubs` claims of ComfyUI, against the source of a real one: what a stub takes, ComfyUI must take too.

COMFYUI names its folder. It is read, not imported, so neither its packages nor its models are needed.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .comfy_io import INPUTS_ONLY, OUTPUT, NodeOutput, Option, kinds, schema_fields
from .comfy_stubs import Comfy, make_host

#: Which generation of the stubs stands for which versions. Those between are of neither: they got one thing after the other.
GENERATIONS = (("2025", (0, 3, 48), (0, 3, 75)), ("2026", (0, 22, 0), (99, 0, 0)))
#: Modules of the stubs, and the files of ComfyUI that define what is in them.
FILES = {
    "comfy.model_management": "comfy/model_management.py",
    "comfy.model_patcher": "comfy/model_patcher.py",
    "comfy.utils": "comfy/utils.py",
    "comfy.cli_args": "comfy/cli_args.py",
    "folder_paths": "folder_paths.py",
}
IO, LATEST, VIDEO = (f"comfy_api/latest/{name}.py" for name in ("_io", "__init__", "_input_impl/video_types"))


@dataclass
class Scope:
    """Names that a file or a class of ComfyUI defines, each with the first definition."""

    body: list[ast.stmt]
    names: dict[str, ast.AST] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for statement in statements(self.body):
            for name in defined(statement):
                self.names.setdefault(name, statement)

    def function(self, name: str) -> ast.arguments:
        """Return the arguments of a function, or of a class's `__init__`, looking through its bases in this file."""
        node = self.names[name]
        if isinstance(node, ast.ClassDef):
            return self.initialiser(node)
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef), f"{name} is no function"
        return node.args

    def initialiser(self, node: ast.ClassDef) -> ast.arguments:
        inside = Scope(node.body)
        if "__init__" in inside.names:
            return inside.function("__init__")
        bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in self.names]
        assert bases, f"{node.name} has no __init__"
        return self.function(bases[0])

    def inside(self, name: str) -> Scope:
        node = self.names[name]
        assert isinstance(node, ast.ClassDef), f"{name} is no class"
        return Scope(node.body)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Go through a body and what is conditional in it."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try):
            yield from statements(statement.body)
            yield from statements(statement.orelse)


def defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


@dataclass
class Core:
    """A real ComfyUI."""

    folder: Path
    generation: str

    def file(self, path: str) -> Scope:
        return Scope(ast.parse((self.folder / path).read_text(encoding="utf-8")).body)


@pytest.fixture(scope="module")
def core() -> Core:
    folder = os.environ.get("COMFYUI")
    if not folder:
        pytest.skip("COMFYUI doesn't name the folder of a ComfyUI")
    text = (Path(folder) / "comfyui_version.py").read_text(encoding="utf-8")
    found = re.search(r'"(\d+)\.(\d+)\.(\d+)', text)
    assert found, f"no version in {text!r}"
    version = tuple(int(part) for part in found.groups())
    for generation, first, last in GENERATIONS:
        if first <= version <= last:
            return Core(Path(folder), generation)
    pytest.skip(f"no generation of the stubs stands for ComfyUI {found[0][1:]}")


@pytest.fixture
def host(core: Core) -> Comfy:
    return make_host(core.generation)


def assert_takes(real: ast.arguments, stub: Callable[..., Any], name: str) -> None:
    """Check that whatever call the stub takes, the real function takes."""
    places = [argument.arg for argument in real.posonlyargs + real.args if argument.arg not in ("self", "cls")]
    known = {*places, *(argument.arg for argument in real.kwonlyargs)}
    given = list(inspect.signature(stub).parameters.values())
    optional = set(places[len(places) - len(real.defaults) :])
    for place, parameter in enumerate(given):
        where = f"{name}({parameter.name})"
        if parameter.kind is parameter.POSITIONAL_ONLY:
            assert place < len(places), where
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            assert real.vararg, where
            continue
        assert parameter.name in known, where
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            assert places.index(parameter.name) == place, f"{where} is at another place"
    always = {p.name if p.kind is not p.POSITIONAL_ONLY else places[i] for i, p in enumerate(given) if p.default is p.empty}
    assert set(places) - optional <= always, f"{name} needs more"


def claims(host: Comfy, module: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Go through what a module of the stubs offers to be called."""
    for name, value in vars(host.modules[module]).items():
        if callable(value) and not name.startswith("_"):
            yield name, value


@pytest.mark.parametrize("module", FILES)
def test_functions_take_the_same(module: str, core: Core, host: Comfy) -> None:
    real = core.file(FILES[module])
    for name, value in claims(host, module):
        assert name in real.names, f"ComfyUI has no {module}.{name}"
        if isinstance(real.names[name], ast.Assign) or name in ("LatentPreviewMethod", "InterruptProcessingException"):
            continue  # another name for a class, or a class whose calls are nobody's business
        assert_takes(real.function(name), value, f"{module}.{name}")


def test_methods_take_the_same(core: Core, host: Comfy) -> None:
    methods = {
        ("comfy/utils.py", "ProgressBar"): host.modules["comfy.utils"].ProgressBar,
        (VIDEO, "VideoFromFile"): host.modules["comfy_api.latest"].InputImpl.VideoFromFile,
    }
    for (path, name), stub in methods.items():
        real = core.file(path)
        assert_takes(real.function(name), stub, name)
        for method, value in inspect.getmembers(stub, inspect.isfunction):
            if not method.startswith("_"):
                bound = value.__get__(object())
                assert_takes(real.inside(name).function(method), bound, f"{name}.{method}")


def test_only_what_is_there_is_there(core: Core, host: Comfy) -> None:
    """What one generation lacks is looked for by name: `is_oom`, `CoreModelPatcher`, `intermediate_dtype`, a cut."""
    for path, name in (
        ("comfy/model_management.py", "is_oom"),
        ("comfy/model_management.py", "intermediate_dtype"),
        ("comfy/model_patcher.py", "CoreModelPatcher"),
    ):
        module = path.removesuffix(".py").replace("/", ".")
        assert (name in core.file(path).names) == hasattr(host.modules[module], name), name
    cut = "get_active_trim_window" in core.file(VIDEO).inside("VideoFromFile").names
    assert cut == hasattr(host.modules["comfy_api.latest"].InputImpl.VideoFromFile, "get_active_trim_window")


def test_cancel_is_the_same_kind_of_exception(core: Core, host: Comfy) -> None:
    node = core.file("comfy/model_management.py").names["InterruptProcessingException"]
    assert isinstance(node, ast.ClassDef)
    assert [ast.unparse(base) for base in node.bases] == [base.__name__ for base in host.interrupt.__bases__]


def test_command_line_options_are_there(core: Core, host: Comfy) -> None:
    real = core.file("comfy/cli_args.py")
    source = (core.folder / "comfy/cli_args.py").read_text(encoding="utf-8")
    for name in vars(host.modules["comfy.cli_args"].args):
        assert f'"--{name.replace("_", "-")}"' in source
    assert {method.name for method in host.previews} <= set(real.inside("LatentPreviewMethod").names)


# ---- making nodes


def test_inputs_know_the_same_arguments(core: Core) -> None:
    real = core.file(IO)
    for kind, (wire, known) in kinds(core.generation).items():
        node = real.names[kind]
        assert isinstance(node, ast.ClassDef)
        assert f"io_type='{wire}'" in ast.unparse(node.decorator_list[0])
        own = Scope(node.body).names.get("Input")
        arguments = real.initialiser(own) if isinstance(own, ast.ClassDef) else real.function("Input")
        names = [argument.arg for argument in arguments.args]
        assert names[:2] == ["self", "id"]
        assert set(known) <= set(names), f"{kind}.Input doesn't know {sorted(set(known) - set(names))}"
        if kind not in INPUTS_ONLY:
            assert "ComfyTypeIO" in [ast.unparse(base) for base in node.bases]
    assert {argument.arg for argument in real.function("Output").args} >= set(OUTPUT)


def test_schemas_have_the_same_fields(core: Core) -> None:
    fields = core.file(IO).inside("Schema").names
    assert set(schema_fields(core.generation)) - set(fields) == set()
    older = set(schema_fields("2026")) - set(schema_fields("2025"))
    assert (core.generation == "2026") == (older <= set(fields))


def test_every_kind_can_be_imported(core: Core) -> None:
    real = core.file(IO)
    listed = ast.unparse(real.names["__all__"]) if "__all__" in real.names else ast.unparse(real.names["_IO"])
    for name in [*kinds(core.generation), "ComfyNode", "NodeOutput", "Schema"]:
        assert re.search(rf"\b{name}\b", listed), name
    assert {"ComfyExtension", "InputImpl"} <= set(core.file(LATEST).names)
    assert ("DynamicCombo" in real.names) == ("DynamicCombo" in kinds(core.generation))


def test_choices_with_inputs_are_given_the_same(core: Core) -> None:
    real = core.file(IO)
    if "DynamicCombo" not in real.names:
        pytest.skip("this ComfyUI has no DynamicCombo")
    assert_takes(real.inside("DynamicCombo").function("Option"), Option, "Option")
    # Where the stubs got from that the choice lies in the dictionary under the combo's own name.
    assert "finalize_prefix(curr_prefix, curr_prefix[-1])" in ast.unparse(real.names["DynamicCombo"])


def test_nodes_are_asked_for_what_changed(core: Core) -> None:
    assert "fingerprint_inputs" in core.file(IO).inside("ComfyNode").names
    assert_takes(core.file(IO).function("NodeOutput"), NodeOutput, "NodeOutput")
