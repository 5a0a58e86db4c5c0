"""Translations of the nodes, which ComfyUI reads from `locales/LANGUAGE/nodeDefs.json`, made of `locales/LANGUAGE.json`.

``python -m tests.locales`` writes them anew. A translation stands beside the English text that it is of: when that changes,
there is no translation of the new text, and the old one is of none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .comfy_stubs import ROOT, comfy

LOCALES = ROOT / "locales"
LANGUAGES = sorted(path.stem for path in LOCALES.glob("*.json"))


def english() -> dict[str, Any]:
    """Return all texts of the nodes as the schemas have them, in ComfyUI's format of translations."""
    with comfy("2026") as host:
        return {node_id: describe(node.define_schema()) for node_id, node in host.nodes.items()}


def describe(schema: Any) -> dict[str, Any]:
    """Return the texts of a node."""
    inputs = dict(entry for part in schema.inputs for entry in input_texts(part))
    outputs = {str(index): texts(part, "") for index, part in enumerate(schema.outputs)}
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        "inputs": inputs,
        "outputs": outputs,
    }


def input_texts(part: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Return the key and the texts of an input, and of those that appear with one of its options.

    The latter stand twice: after the menu's name, and alone as in 2025, where their tooltips say more and stay English.
    """
    yield part.id, texts(part, part.id)
    for inner in (inner for option in part.values.get("options", ()) for inner in getattr(option, "inputs", ())):
        yield f"{part.id}_{inner.id}", texts(inner, inner.id)
        yield inner.id, {"name": inner.values.get("display_name") or inner.id}


def texts(part: Any, name: str) -> dict[str, str]:
    """Return the name that people see, and the tooltip."""
    return {"name": part.values.get("display_name") or name, "tooltip": part.values["tooltip"]}


def strings(tree: Any) -> Iterator[str]:
    """Return all texts of a tree, in its order."""
    if isinstance(tree, str):
        yield tree
    else:
        for branch in tree.values():
            yield from strings(branch)


def read(language: str) -> dict[str, Any]:
    """Return who checked a language, and its texts by the English ones."""
    return dict(json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8")))


def build(language: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return what ComfyUI reads; the texts that aren't translated yet are left out, and so are shown in English."""
    given = read(language)
    checked = (
        f"checked by {given['checked_by']}" if given["checked_by"] else "made by a machine, not checked by a speaker yet"
    )
    note = f"Translation {checked}. Written by python -m tests.locales from locales/{language}.json: edit that."
    return {"//": note, **translated(source, given["texts"])}


def translated(tree: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
    """Return a tree with its texts translated, without those that can't be."""
    branches = ((key, known.get(b) if isinstance(b, str) else translated(b, known)) for key, b in tree.items())
    return {key: branch for key, branch in branches if branch}


def main() -> None:
    """Write what ComfyUI reads."""
    source = english()
    for language in LANGUAGES:
        path = target(language)
        path.parent.mkdir(exist_ok=True)
        path.write_text(as_json(build(language, source)), encoding="utf-8", newline="\n")


def target(language: str) -> Path:
    """Return the file that ComfyUI reads."""
    return LOCALES / language / "nodeDefs.json"


def as_json(tree: dict[str, Any]) -> str:
    """Return how trees are written."""
    return json.dumps(tree, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    main()
