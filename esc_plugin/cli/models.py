"""The commands about models: ``esc-sr models``, ``convert`` and ``publish``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import CheckpointError, HubError
from . import options as opt
from . import values
from .completion import model_names
from .terminal import complain, download_bar, plain, say, say_facts, say_table, write_json

if TYPE_CHECKING:
    from ..catalog.manifest import CatalogEntry


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="One model: all that is known of it.", metavar="NAME", autocompletion=model_names),
    ] = None,
    purpose: opt.Purpose = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the files on this machine with their sha256.")] = False,
    download: Annotated[
        str | None, typer.Option(help="Download this model.", metavar="NAME", autocompletion=model_names)
    ] = None,
    as_json: opt.AsJson = False,
) -> None:
    """List the models on offer, or those for a kind of images; show, check or download them."""
    from ..catalog.by_purpose import models_for
    from ..catalog.menu import models_folder

    if verify:
        verify_models(as_json)
        return
    if download:
        download_model(download)
        return
    entries = [offered(name)] if name else models_for(purpose or "")
    if as_json:
        write_json(list(map(facts_of, entries)))
        return
    if name or purpose:
        show_cards(entries, purpose or "", whole=bool(name))
        return
    rows = [(entry.name, f"x{entry.scale}" if entry.scale else "", entry.purpose, where(entry)) for entry in entries]
    say_table(("name", "scale", "for", "file"), *rows)
    say("\n`esc-sr models NAME` shows what a model does, its licence and its figures.")
    say(f"Models folder: {plain(models_folder())} (ESC_MODELS_DIR)")
    if any(not entry.confirmed for entry in entries):
        say("unconfirmed: the name is only implied by the authors' option files; the download may not exist.")


def offered(name: str) -> CatalogEntry:
    """Return a model on offer.

    Raises
    ------
    HubError
        If there is none of that name.
    """
    from ..catalog.lookup import unknown_model
    from ..catalog.menu import find_model

    if entry := find_model(name):
        return entry
    raise HubError(unknown_model(name))


def facts_of(entry: CatalogEntry) -> dict[str, Any]:
    """Return all that is known of a model on offer, for programs."""
    facts = {"name": entry.name, "scale": entry.scale, "file": state_of(entry), "megabytes": entry.megabytes or None}
    return facts | entry.card


def show_cards(entries: list[CatalogEntry], purpose: str, *, whole: bool) -> None:
    """Print three lines for each model, and for one that was asked for by name all the rest."""
    from ..catalog.by_purpose import none_text
    from ..catalog.cards import card_lines

    for entry in entries:
        say(f"[bold]{plain(entry.name)}[/] ({where(entry)})")
        for line in card_lines(entry):
            say(f"  {plain(line)}")
    if not entries:
        say(f"{plain(none_text(purpose))} `esc-sr finetune --help` says how.")
    if whole:
        say_facts({field: shown(field, value) for field, value in facts_of(entries[0]).items() if value is not None})


def shown(field: str, value: Any) -> str:
    """Return a fact about a model as people read it."""
    from ..catalog.gains import stated_gains

    if field == "gains":
        return "; ".join(map(str, stated_gains({field: value})))
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry}" for key, entry in value.items() if entry not in (None, ""))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return f"{value:,}" if field == "parameters" else str(value)


def state_of(entry: CatalogEntry) -> str:
    """Say in a word where a model's file is: here, absent, download, or unconfirmed."""
    from ..catalog.by_purpose import is_here

    if is_here(entry):
        return "here"
    if entry.path:
        return "absent"
    return "download" if entry.confirmed else "unconfirmed"


def where(entry: CatalogEntry) -> str:
    """Say where a model's file is, and how large a download would be."""
    state = state_of(entry)
    return f"{state}, {entry.megabytes} MB" if entry.megabytes and state in ("download", "unconfirmed") else state


def verify_models(as_json: bool) -> None:
    """Print the state of each model's file; exit with 1 if one is not what it should be."""
    from ..catalog.verify import verify

    rows = verify()
    bad = [row for row in rows if row["status"] == "mismatch"]
    if as_json:
        write_json(rows)
        sys.exit(1 if bad else 0)
    shown_rows = [(row["status"], row["name"], row["sha256"] or row["expected"] or "-", row["path"]) for row in rows]
    say_table(("status", "name", "sha256", "file"), *shown_rows)
    for row in bad:
        text = f"{row['path']!r} has sha256 {row['sha256']}, {row['expected']} was expected. {row['remedy']}"
        complain("error", text, "bold red")
    sys.exit(1 if bad else 0)


def download_model(name: str) -> None:
    """Download a model on offer and say where it is, and what its hash is.

    Raises
    ------
    HubError
        If there is no such model, or it can't be had.
    """
    entry = offered(name)

    from ..catalog.fetch import fetch
    from ..disk import file_sha256

    with download_bar(entry.name) as progress:
        path = fetch(entry, progress=progress)
    say(f"{plain(path)}\nsha256 {file_sha256(path)}")


def convert(
    weights: Annotated[Path, typer.Argument(callback=values.usable, help="Weights file of any kind.", metavar="IN.pth")],
    output: Annotated[Path, typer.Argument(callback=values.usable, help="File to write.", metavar="OUT.safetensors")],
    force: Annotated[bool, typer.Option("--force", "--overwrite", help="Replace a file that exists.")] = False,
    window_size: opt.WindowSize = None,
) -> None:
    """Convert a weights file to safetensors, with its configuration and where it came from."""
    if not weights.is_file():
        raise CheckpointError(f"there is no weights file {str(weights)!r}.")
    values.check_output(output, (".safetensors",), weights, overwrite=force)

    from ..weights.convert import convert as convert_file

    convert_file(weights, output, force=force, window_size=window_size)
    say(f"{plain(weights)} -> {plain(output)}")


def publish(
    model: Annotated[str, typer.Argument(help="Weights file, folder or name of a model.", metavar="FILE")],
    repo: Annotated[str, typer.Argument(help="Where to, on the Hugging Face Hub.", metavar="ORG/REPO")],
    dry_run: Annotated[
        Path | None,
        typer.Option("--dry-run", callback=values.usable, help="Write the files here, send nothing.", metavar="DIR"),
    ] = None,
    license: Annotated[str, typer.Option(help="Licence of the weights, such as mit or cc-by-4.0.")] = "",  # noqa: A002
    base_model: Annotated[str, typer.Option(help="Hub model that it was trained from.")] = "",
    training: Annotated[str, typer.Option(help="What it was trained on and how, in a sentence.")] = "",
    private: Annotated[bool, typer.Option("--private", help="A new repository is private.")] = False,
    window_size: opt.WindowSize = None,
) -> None:
    """Publish a model on the Hugging Face Hub, with its configuration and a card."""
    from ..catalog.lookup import look_up

    look_up(model)

    from ..catalog.publish import publish as publish_model

    result = publish_model(
        model,
        repo,
        dry_run=dry_run,
        license=license,
        base_model=base_model,
        training=training,
        private=private,
        window_size=window_size,
    )
    say(plain(result))
