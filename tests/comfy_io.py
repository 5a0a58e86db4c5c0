"""What a small ComfyUI offers for making nodes, as `comfy_api.latest.io` has it: kinds of inputs, schemas, outputs.

The tables say what each generation knows; `test_stubs_against_comfyui.py` compares them with a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, make_dataclass
from types import SimpleNamespace
from typing import Any

GENERATIONS = ("2025", "2026")
#: Fields of `io.Schema` besides `node_id`.
SCHEMA = ["display_name", "category", "description", "inputs", "outputs", "hidden"]
SCHEMA += ["is_output_node", "is_deprecated", "is_experimental"]
NEWER_SCHEMA = ["search_aliases", "essentials_category"]

PLAIN = ["display_name", "optional", "tooltip", "lazy"]
WIDGET = [*PLAIN, "default", "socketless", "force_input"]
OUTPUT = ["id", "display_name", "tooltip", "is_output_list"]
#: Each kind of input: what it is called on a wire, and the arguments that it knows besides `id`.
KINDS = {
    "Image": ("IMAGE", PLAIN),
    "Mask": ("MASK", PLAIN),
    "Video": ("VIDEO", PLAIN),
    "UpscaleModel": ("UPSCALE_MODEL", PLAIN),
    "Boolean": ("BOOLEAN", [*WIDGET, "label_on", "label_off"]),
    "Int": ("INT", [*WIDGET, "min", "max", "step", "control_after_generate", "display_mode"]),
    "Float": ("FLOAT", [*WIDGET, "min", "max", "step", "round", "display_mode"]),
    "String": ("STRING", [*WIDGET, "multiline", "placeholder", "dynamic_prompts"]),
    "Combo": ("COMBO", [*PLAIN, "default", "socketless", "options", "control_after_generate"]),
}
#: Arguments that every kind has since 2026, and the one kind that is new and has none of them.
NEWER_ARGUMENTS = ["extra_dict", "raw_link", "advanced"]
NEWER_KINDS = {"DynamicCombo": ("COMFY_DYNAMICCOMBO_V3", [*PLAIN, "options"])}
INPUTS_ONLY = ("Combo", "DynamicCombo")


@dataclass
class Input:
    """What an input or output is declared as."""

    kind: str
    id: str
    values: dict[str, Any]


@dataclass
class Option:
    """One choice of a `DynamicCombo`, and the inputs that appear with it."""

    key: str
    inputs: list[Input]


class NodeOutput:
    """What `execute` returns."""

    def __init__(self, *args: Any, ui: Any = None, expand: Any = None, block_execution: str | None = None) -> None:
        self.args, self.ui = args, ui


def kinds(generation: str) -> dict[str, tuple[str, list[str]]]:
    """Return what kinds of inputs there are, and the arguments of each."""
    if generation == "2025":
        return KINDS
    return {name: (wire, known + NEWER_ARGUMENTS) for name, (wire, known) in KINDS.items()} | NEWER_KINDS


def schema_fields(generation: str) -> list[str]:
    """Return the fields of a schema."""
    return SCHEMA + (NEWER_SCHEMA if generation == "2026" else [])


def make_io(generation: str) -> SimpleNamespace:
    """Return the module `io` of that generation."""
    fields = [(name, Any, None) for name in schema_fields(generation)]
    module = SimpleNamespace(
        ComfyNode=type("ComfyNode", (), {"hidden": SimpleNamespace(unique_id="7")}),
        NodeOutput=NodeOutput,
        Hidden=SimpleNamespace(unique_id="UNIQUE_ID"),
        Schema=make_dataclass("Schema", [("node_id", str), *fields]),
        **{name: _kind(name, *declared) for name, declared in kinds(generation).items()},
    )
    if "DynamicCombo" in kinds(generation):
        module.DynamicCombo.Option = Option
    return module


def _kind(name: str, wire: str, known: list[str]) -> SimpleNamespace:
    def refuse(values: dict[str, Any], allowed: list[str]) -> None:
        assert set(values) <= set(allowed), f"{name} doesn't know {sorted(set(values) - set(allowed))}"

    def declared(id: str, **values: Any) -> Input:  # noqa: A002  # the name that ComfyUI uses
        refuse(values, known)
        return Input(wire, id, values)

    def returned(**values: Any) -> Input:
        refuse(values, OUTPUT)
        return Input(wire, "", {"display_name": None, "tooltip": None, **values})

    outputs = {} if name in INPUTS_ONLY else {"Output": returned}
    return SimpleNamespace(Input=declared, **outputs)


def arguments(inputs: list[Input], given: dict[str, Any]) -> dict[str, Any]:
    """Take `given`, or else defaults, as the keyword arguments of a node.

    The inputs of a chosen `Option` are given under ``combo.input``, as prompts have them, and become one dictionary with the
    choice in it.
    """
    values = {}
    for name, value in _chosen(inputs, given):
        *groups, last = name.split(".")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = value
    assert not given, f"unknown inputs {sorted(given)}"
    return values


def _chosen(inputs: list[Input], given: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    assert len({part.id for part in inputs}) == len(inputs), "ids of inputs must be unique"
    for part in inputs:
        name = prefix + part.id
        if part.kind == NEWER_KINDS["DynamicCombo"][0]:
            yield from _dynamic(part, given, name)
        elif name in given:
            yield name, _checked(part, given.pop(name))
        elif "default" in part.values or "options" in part.values:
            yield name, part.values["default"] if "default" in part.values else part.values["options"][0]
        else:  # a socket without a link
            assert part.values.get("optional"), f"required input {name} is missing"
            if prefix:  # inside of a choice it is named all the same
                yield name, None


def _checked(part: Input, value: Any) -> Any:
    if part.kind in ("INT", "FLOAT"):
        outside = value < part.values["min"] or value > part.values["max"]  # NaN isn't, for ComfyUI neither
        assert not outside, "ComfyUI refuses numbers outside of min and max"
    return value  # what a combo is given isn't checked before 2026


def _dynamic(part: Input, given: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    options = {option.key: option for option in part.values["options"]}
    key = given.pop(name, next(iter(options)))  # the page begins with the first
    if key in options:  # otherwise nothing is handed on, not even the choice
        yield f"{name}.{part.id}", key
        yield from _chosen(options[key].inputs, given, f"{name}.")
