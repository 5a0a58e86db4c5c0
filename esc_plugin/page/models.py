"""Models as the page loads them: exported once, and what it is told about each."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalog.by_default import default_model
from ..catalog.cards import card_lines
from ..catalog.menu import bundled_models, find_model
from ..catalog.purposes import PURPOSES, find_purpose
from ..disk import file_sha256
from ..errors import EscError, needs
from ..export.formats import FORMS
from ..progress import Progress, part_of
from ..version import __version__
from .cache import own_folder

if TYPE_CHECKING:
    from ..weights.model import Model

#: What changes the files that are exported.
SOURCES = ("export", "network")


def offered_models() -> list[str]:
    """Return the models of a page for which none is named: the bundled ones, in the order of the kinds of images."""
    order = [purpose.key for purpose in PURPOSES]
    entries = sorted(bundled_models(), key=lambda entry: (order.index(entry.purpose), entry.scale))
    return [entry.name for entry in entries]


def export_models(models: Sequence[Model], progress: Progress | None = None) -> tuple[dict[str, Path], dict[str, Any]]:
    """Return the files of models by name, and what the page is told.

    A model is exported once; the files stay in the cache for as long as nothing that they are made of changes.

    Raises
    ------
    EscError
        If a package is missing, two models have one name, or one can't be exported.
    """
    needs("export")
    if twice := [name for name, count in Counter(model.name for model in models).items() if count > 1]:
        raise EscError(f"two models are called {twice[0]!r}; the page tells models by their names.")
    found: dict[str, Path] = {}
    with own_folder("page-models") as folder:
        for i, model in enumerate(models):
            for j, form in enumerate(FORMS):
                found[_file_name(model, form)] = _exported(model, form, folder)
                if told := part_of(progress, i, len(models)):
                    told(j + 1, len(FORMS))
    titles = _titles(models)
    listed = [{"name": m.name, "title": titles[m.name]} | _about(m, found) for m in models]
    return found, {"version": __version__, "default": _default(models), "models": listed}


def _exported(model: Model, form: str, folder: Path) -> Path:
    from ..export.export import export

    path = folder / f"{_key(model, form)}.onnx"
    stated = path.with_suffix(".sha256")
    if not (path.is_file() and stated.is_file() and stated.read_bytes() == file_sha256(path).encode()):
        for damaged in (stated, path):
            damaged.unlink(missing_ok=True)
        export(model, path, form=form)
        stated.write_text(file_sha256(path), encoding="utf-8")
    return path


def _key(model: Model, form: str) -> str:
    """Return a name that another file would have if anything that it is made of were different."""
    import torch

    parts = [model.sha256, model.name, json.dumps(model.config.to_dict()), json.dumps(model.card, default=str)]
    parts += [form, __version__, torch.__version__, *_source_hashes()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _source_hashes() -> list[str]:
    package = Path(str(files(__package__.rpartition(".")[0])))
    return [file_sha256(path) for name in SOURCES for path in sorted((package / name).rglob("*.py"))]


def _file_name(model: Model, form: str) -> str:
    """Return a name for addresses and for every file system; no other weights have the same."""
    plain = re.sub(r"[^\w.-]|^\.+", "_", model.name, flags=re.ASCII)
    return f"{plain}-{form}-{model.sha256[:12]}.onnx"


def _default(models: Sequence[Model]) -> str:
    """Return the model for pictures as they are if it is there, else the first."""
    wanted = default_model().entry.name
    return wanted if wanted in [model.name for model in models] else models[0].name


def _titles(models: Sequence[Model]) -> dict[str, str]:
    """Return what each model is for, as people choose by it; with its name where that and the scale leave several."""
    titles = {model.name: find_purpose(str(model.card["purpose"])).title for model in models if model.card.get("purpose")}
    count = Counter((titles.get(model.name, ""), model.scale) for model in models)
    unclear = {title for (title, _), alike in count.items() if alike > 1}
    return {
        model.name: f"{title} ({model.name})" if title and title in unclear else title or model.name
        for model in models
        for title in [titles.get(model.name, "")]
    }


def _about(model: Model, found: dict[str, Path]) -> dict[str, Any]:
    entry = find_model(model.name)
    known = entry if entry and entry.sha256 == model.sha256 else model.card
    return {
        "purpose": str(model.card.get("purpose", "")),
        "card": list(card_lines(known)),
        "license": str(model.card.get("license", "")),
        "sha256": model.sha256,
        "version": __version__,
        **_facts(found[_file_name(model, "regions")]),
        **{form: _file(model, form, found) for form in FORMS},
    }


def _facts(path: Path) -> dict[str, Any]:
    """Return what a region's file says of itself, as the page needs it."""
    import onnx

    stated = {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    return {name: int(stated[name]) for name in ("scale", "window", "unshuffle", "reach", "layers", "channels")}


def _file(model: Model, form: str, found: dict[str, Path]) -> dict[str, Any]:
    name = _file_name(model, form)
    return {"url": f"models/{name}", "sha256": file_sha256(found[name]), "bytes": found[name].stat().st_size}
