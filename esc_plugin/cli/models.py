"""The commands about models: ``esc-sr models``, ``info``, ``convert`` and ``publish``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import CheckpointError, HubError
from ..texts import quoted
from . import options as opt
from .terminal import complain, console, download_bar, plain, say

if TYPE_CHECKING:
    from ..catalog.manifest import CatalogEntry
    from ..weights.model import Model

#: How the states of `esc_plugin.catalog.verify` are shown.
COLORS = {"ok": "green", "mismatch": "bold red", "absent": "dim", "unknown": "yellow"}


def models(
    name: Annotated[str | None, typer.Argument(help="One model: all that is known of it.", metavar="NAME")] = None,
    purpose: opt.Purpose = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the files on this machine with their sha256.")] = False,
    download: Annotated[str | None, typer.Option(help="Download this model.", metavar="NAME")] = None,
    as_json: opt.AsJson = False,
) -> None:
    """List the models on offer or those for a kind of images, check those that are here, or download one."""
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
        print(json.dumps(list(map(facts_of, entries))))
        return
    if name or purpose:
        show_cards(entries, purpose or "", whole=bool(name))
        return
    table = Table("name", "scale", "for", "what", "licence", "file", box=None)
    for entry in entries:
        scale = f"x{entry.scale}" if entry.scale else ""
        row = entry.name, scale, entry.purpose, entry.summary, entry.license, where(entry)
        table.add_row(*map(plain, row))
    console.print(table)
    say(f"\nModels folder: {plain(models_folder())} (ESC_MODELS_DIR)")
    if any(not entry.confirmed for entry in entries):
        console.print("unconfirmed: the name is only implied by the authors' option files; the download may not exist.")


def offered(name: str) -> CatalogEntry:
    """Return a model on offer.

    Raises
    ------
    HubError
        If there is none of that name.
    """
    from ..catalog.menu import find_model

    if entry := find_model(name):
        return entry
    raise HubError(f"there is no model {quoted(name)} on offer; `esc-sr models` lists them.")


def facts_of(entry: CatalogEntry) -> dict[str, Any]:
    """Return all that is known of a model on offer, for programs."""
    return {"name": entry.name, "scale": entry.scale, "file": where(entry)} | entry.card


def show_cards(entries: list[CatalogEntry], purpose: str, *, whole: bool) -> None:
    """Print three lines for each model, and for one that was asked for by name all the rest."""
    from ..catalog.by_purpose import none_text
    from ..catalog.cards import card_lines

    for entry in entries:
        console.print(f"[bold]{plain(entry.name)}[/] ({where(entry)})")
        for line in card_lines(entry):
            say(f"  {plain(line)}")
    if not entries:
        say(f"{plain(none_text(purpose))} `esc-sr finetune --help` says how.")
    if whole:
        table = Table(box=None, show_header=False)
        for field, value in facts_of(entries[0]).items():
            table.add_row(field, shown(field, value))
        console.print(table)


def shown(field: str, value: Any) -> str:
    """Return a fact about a model as people read it."""
    from ..catalog.gains import stated_gains

    if field == "gains":
        return plain("; ".join(map(str, stated_gains({field: value}))))
    return plain(f"{value:,}" if field == "parameters" else value)


def where(entry: CatalogEntry) -> str:
    """Say in a word or two where a model's file is."""
    from ..catalog.by_purpose import is_here

    if is_here(entry):
        return "here"
    if entry.path:
        return "absent"
    return "download" if entry.confirmed else "unconfirmed"


def verify_models(as_json: bool) -> None:
    """Print the state of each model's file; exit with 1 if one is not what it should be."""
    from ..catalog.verify import verify

    rows = verify()
    bad = [row for row in rows if row["status"] == "mismatch"]
    if as_json:
        print(json.dumps(rows))
        sys.exit(1 if bad else 0)
    table = Table("status", "name", "file", "sha256", box=None)
    for row in rows:
        status = row["status"]
        facts = row["name"], row["path"], row["sha256"] or row["expected"]
        table.add_row(f"[{COLORS[status]}]{status}[/]", *map(plain, facts))
    console.print(table)
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


def open_model(source: str, **options: Any) -> Model:
    """Load a model; show a bar while it is downloaded."""
    from ..catalog.lookup import look_up

    look_up(source)  # torch takes longer to start than to say that there is no such model

    from ..catalog.load import load_model

    with download_bar(source) as progress:
        return load_model(source, progress=progress, **options)


def info(
    model: opt.ModelName,
    window_size: opt.WindowSize = None,
    as_json: opt.AsJson = False,
) -> None:
    """Show what a model is: configuration, size, origin, and what is known about it."""
    loaded = open_model(model, window_size=window_size)
    parameters = sum(p.numel() for p in loaded.network.parameters())
    facts = {"name": loaded.name, "source": loaded.source, "sha256": loaded.sha256, "parameters": parameters}
    facts |= loaded.config.to_dict() | loaded.card
    if as_json:
        print(json.dumps(facts))
        return
    table = Table(box=None, show_header=False)
    for field, value in facts.items():
        table.add_row(field, shown(field, value))
    console.print(table)


def convert(
    weights: Annotated[Path, typer.Argument(callback=opt.usable, help="Weights file of any kind.", metavar="IN.pth")],
    output: Annotated[Path, typer.Argument(callback=opt.usable, help="File to write.", metavar="OUT.safetensors")],
    force: Annotated[bool, typer.Option("--force", "--overwrite", help="Replace a file that exists.")] = False,
    window_size: opt.WindowSize = None,
) -> None:
    """Convert a weights file to safetensors, with its configuration and where it came from."""
    if not weights.is_file():
        raise CheckpointError(f"there is no weights file {str(weights)!r}.")
    opt.check_output(output, (".safetensors",), weights, overwrite=force)

    from ..weights.convert import convert as convert_file

    convert_file(weights, output, force=force, window_size=window_size)
    say(f"{plain(weights)} -> {plain(output)}")


def publish(
    model: Annotated[str, typer.Argument(help="Weights file, folder or name of a model.", metavar="FILE")],
    repo: Annotated[str, typer.Argument(help="Where to, on the Hugging Face Hub.", metavar="ORG/REPO")],
    dry_run: Annotated[
        Path | None,
        typer.Option("--dry-run", callback=opt.usable, help="Write the files here, send nothing.", metavar="DIR"),
    ] = None,
    license: Annotated[str, typer.Option(help="Of the weights, such as mit or cc-by-4.0.")] = "",  # noqa: A002
    base_model: Annotated[str, typer.Option(help="Hub model that it was trained from.")] = "",
    training: Annotated[str, typer.Option(help="The data and the training, in a sentence.")] = "",
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
