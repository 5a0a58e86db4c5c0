"""Lists of models in YAML: values, aliases, depth, merges and letters that nobody meant."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import yaml

from esc_plugin.catalog.manifest import SOURCES, is_safe, read_manifest

from ..case import Case, check
from ..mutate import VALUES, damaged, nudged, retyped, twisted

MANIFEST = {
    "models": [
        {
            "name": "mine",
            "scale": 2,
            "purpose": "clean photo",
            "family": "ESC",
            "summary": "words",
            "license": "MIT",
            "url": "https://example.invalid/a.pth",
            "sha256": "0" * 64,
            "megabytes": 3,
            "figures": {"Set5": "38.35/.9619", "Set5 bicubic": 33.6},
            "gains": [{"purpose": "clean photo", "count": 3, "images": "photos", "reduction": "bicubic", "db": 1.5}],
        },
        {
            "name": "hub",
            "scale": 4,
            "purpose": "clean photo",
            "hub": "org/repo",
            "file": "a.safetensors",
            "revision": "main",
        },
        {"name": "own", "scale": 2, "purpose": "clean photo", "path": "~/a.safetensors", "window_size": 32},
    ],
    "defaults": [{"purpose": "clean photo", "model": "mine"}],
}
STRANGE = (
    *VALUES,
    *(
        "http://example.invalid/a.pth",
        "https://[::1",
        "file:///etc/passwd",
        "https://a:b@c/d.pth",
        "../../a.pth",
        "C:\\a.pth",
        "~root/x",
        "~nobody/x",
    ),
    *(
        "https://example.invalid/{file}",
        "{file}",
        "org/../repo",
        "clean  photo",
        "a/b/c",
        "x" * 5000,
        "1e3",
        "0x10",
        "1:30",
        "2020-13-99",
        "yes",
        "~",
    ),
)
#: Texts that stand for far more than they are, or for something else than they seem to.
SNIPPETS = (
    "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)),
    *(
        "x: &x [*x]\n",
        "x: &x {<<: *x}\n",
        "<<: [{a: 1}, {a: 2}]\n",
        "? [a, b]\n: c\n",
        "!!python/object/apply:os.system [id]\n",
        "--- a\n--- b\n",
    ),
    *(
        "x: !!binary '!'\n",
        "x: 1e9999\n",
        "x: 0o777777777777777777\n",
        "x: 99:99:99:99\n",
        "%YAML 9.9\n---\n",
        "\ufeffx: 1\n",
        "x: |9\n y\n",
    ),
    *(
        "[" * 3000,
        "{a: " * 500,
        "- " * 3000,
        "x: " + "9" * 5000 + "\n",
        "x: !!int 1__\n",
        "x: !!timestamp 9999-99-99\n",
        "models: *a\n",
    ),
)


def changed(rng: Random, tree: Any) -> Any:
    """Return a tree with something changed: to what is strange, or to what might be meant."""
    return twisted(rng, tree, STRANGE) if rng.random() < 0.5 else nudged(rng, tree)


def yaml_text(rng: Random, tree: Any) -> str:
    """Return a tree as YAML; now and then as a text that isn't."""
    text = yaml.safe_dump(
        tree, allow_unicode=rng.random() < 0.5, default_flow_style=rng.choice((None, True, False)), sort_keys=False
    )
    kind = rng.randrange(16)
    if kind == 0:
        return retyped(rng, text)
    if kind == 1:
        at = text.find("\n", rng.randrange(len(text))) + 1
        return text[:at] + rng.choice(SNIPPETS) + text[at:]
    if kind == 2:
        return text.replace(
            ": ", rng.choice((": &a ", ": *a ", ": !!str ", ": !!float ", ":\t", ": ? ")), rng.choice((1, 3))
        )
    return text


def case(rng: Random) -> Case:
    """Return a manifest with something changed."""
    data = yaml_text(rng, changed(rng, MANIFEST)).encode("utf-8", "surrogatepass")
    if rng.randrange(25) == 0:
        data = damaged(rng, data)
    return Case("manifest", {"manifest.yaml": data}, attempted)


def attempted(folder: Path) -> list[str]:
    """Read a manifest; what is taken keeps every promise of its fields."""
    for entry in read_manifest(folder / "manifest.yaml").models:
        check(isinstance(entry.name, str) and entry.name, f"a model is called {entry.name!r:.40}")
        check(type(entry.scale) is int and 1 <= entry.scale <= 16, f"a scale of {entry.scale!r:.40}")
        check(sum(bool(getattr(entry, source)) for source in SOURCES) == 1, "it comes from several places")
        check(not entry.url or is_safe(entry.url), f"it comes from {entry.url!r:.60}")
        check(not (entry.url and set(entry.file) & set("/\\:")), f"its file is {entry.file!r:.60}")
        check("\n" not in f"{entry.summary}{entry.license}{entry.name}{entry.url}", "a field has several lines")
        check(all(isinstance(figure, float) for figure in entry.figures.values()), "a figure is no number")
        _ = entry.source, entry.card
    return []
