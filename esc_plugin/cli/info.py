"""The command that says what something is: ``esc-sr info``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..catalog.manifest import SUFFIXES
from ..errors import EscError, ImageError, needs
from . import options as opt
from .completion import model_names
from .load import open_model
from .models import shown
from .pipes import place_of_source
from .terminal import say_facts, write_json

#: Suffixes of manifests and recipes.
YAML = (".yaml", ".yml")


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|FILE",
            autocompletion=model_names,
            help="Model, image, - for standard input, film, folder, manifest, recipe or survey.",
        ),
    ],
    window_size: opt.WindowSize = None,
    as_json: opt.AsJson = False,
) -> None:
    """Show what something is: a model, an image and which model it would get, or any other file."""
    facts = about(name, window_size)
    if as_json:
        write_json(facts)
    else:
        say_facts(words_of(facts))


def words_of(facts: dict[str, Any]) -> dict[str, str]:
    """Return facts as a table for people, without what isn't known."""
    if facts["kind"] != "image":
        return {
            field.replace("_", " "): shown(field, value) for field, value in facts.items() if value not in (None, "", [])
        }
    from ..files.about import words_about

    return {"kind": "image"} | words_about(facts) | {"model": f"{facts['model']}, since {facts['model_choice']}"}


def about(name: str, window_size: int | None) -> dict[str, Any]:
    """Return what is known of what a name means.

    Raises
    ------
    EscError
        If it means nothing, or what it means is damaged.
    """
    from ..catalog.menu import find_model
    from ..files.address import Url

    entry = find_model(name)
    if entry and entry.name == name:
        return about_model(name, window_size)
    place = place_of_source(name)
    if isinstance(place, Url):
        return about_image(place)
    if not place.exists():
        if place.suffix.lower() in _suffixes_of_files() or place.is_absolute():
            raise EscError(f"there is no file or folder {name!r}.")
        return about_model(name, window_size)
    return _kind_of(place)(place, window_size)


def about_model(source: Any, window_size: int | None = None) -> dict[str, Any]:
    """Return what is known of a model."""
    loaded = open_model(str(source), window_size=window_size)
    parameters = sum(p.numel() for p in loaded.network.parameters())
    facts = {"name": loaded.name, "source": loaded.source, "sha256": loaded.sha256, "parameters": parameters}
    return {"kind": "model"} | facts | loaded.config.to_dict() | loaded.card


def about_image(place: Any, _: int | None = None) -> dict[str, Any]:
    """Return what an image is, and which model it gets where none is named."""
    from ..arrays.framing import Framing
    from ..batch.choice import group_of
    from ..files import read_picture
    from ..files.about import facts_about

    picture = read_picture(place, lazy=True)
    chosen = group_of(place, None, Framing())
    return {"kind": "image"} | facts_about(picture) | {"model": chosen.name, "model_choice": chosen.reason}


def about_film(path: Path, _: int | None) -> dict[str, Any]:
    """Return what a film is."""
    needs("video")
    from ..video.film import open_film
    from ..video.upscaling import record_in

    film = open_film(str(path))
    facts = {"size": list(film.size), "frames_per_second": float(film.rate), "bits": film.bits, "chroma": film.chroma}
    return {"kind": "film"} | facts | {"notes": list(film.notes), "made_by": record_in(film) or None}


def about_folder(path: Path, window_size: int | None) -> dict[str, Any]:
    """Return what is in a folder: a model, or images."""
    from ..batch.find import images_in
    from ..catalog.model_files import weights_in

    if weights_in(path):
        return about_model(path, window_size)
    try:
        images = images_in(path, recursive=False)
    except ImageError:
        raise EscError(
            f"the folder {str(path)!r} holds no model and no images; its own folders aren't looked into."
        ) from None
    return {"kind": "folder", "images": len(images), "first": images[0].name, "last": images[-1].name}


def about_yaml(path: Path, _: int | None) -> dict[str, Any]:
    """Return what a manifest or a recipe says."""
    from ..catalog.manifest import read_manifest
    from ..strict_yaml import read_yaml

    content = read_yaml(path)
    if isinstance(content, dict) and {"models", "defaults"} & set(content):
        manifest = read_manifest(path)
        return {"kind": "manifest", "models": [entry.name for entry in manifest.models], "defaults": len(manifest.defaults)}
    from ..train.recipe import read_recipe

    recipe = read_recipe(path)
    pairs = {"scale": recipe.scale, "pairs": recipe.data.pairs, "folders": list(recipe.data.folders)}
    return {"kind": "recipe"} | pairs | {"iterations": recipe.iterations, "minutes": recipe.minutes, "init": recipe.init}


def about_survey(path: Path, _: int | None) -> dict[str, Any]:
    """Return what a survey says."""
    from ..survey import Survey

    found = Survey.load(path)
    facts = {"model": found.model, "size": list(found.request.target), "planes": len(found.planes), "method": found.method}
    return {"kind": "survey"} | facts | {"digest": found.digest}


def about_nothing(path: Path, _: int | None) -> dict[str, Any]:
    """Raise an `EscError` that says what it isn't."""
    raise EscError(
        f"{str(path)!r} is nothing that is used here: no image or film by its content, and no weights file "
        f"({', '.join(SUFFIXES)}), manifest or recipe (.yaml) or survey (.json) by its name."
    )


#: What a file is by its name, where its content doesn't say.
BY_SUFFIX: dict[str, Callable[[Path, int | None], dict[str, Any]]] = {
    **dict.fromkeys(SUFFIXES, about_model),
    **dict.fromkeys(YAML, about_yaml),
    ".json": about_survey,
}


def _kind_of(path: Path) -> Callable[[Any, int | None], dict[str, Any]]:
    """Return what tells about a file or folder."""
    from ..files.formats import recognised
    from ..video.names import is_film

    if path.is_file() and is_film(path):
        return about_film
    try:
        if recognised(path):
            return about_image
    except OSError as error:
        raise ImageError(f"can't read {str(path)!r}: {error.strerror or error}.") from None
    return about_folder if path.is_dir() else BY_SUFFIX.get(path.suffix.lower(), about_nothing)


def _suffixes_of_files() -> tuple[str, ...]:
    from ..files.formats import readable_suffixes
    from ..video.names import SUFFIXES as FILMS

    return (*readable_suffixes(), *FILMS, *BY_SUFFIX)
