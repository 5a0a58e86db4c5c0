"""The command that shows ESC in a browser: ``esc-sr try``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EscError, needs
from ..texts import bytes_words, counted
from . import values
from .completion import model_names
from .load import open_model
from .terminal import complain, download_bar, plain, progress_bar, say

if TYPE_CHECKING:
    from ..page.site import Site


def try_(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Models that the page offers; by default the bundled ones.", metavar="MODEL", autocompletion=model_names
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            callback=values.usable,
            metavar="FOLDER",
            help="Write the page here as static files, for any web host, and show nothing.",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(callback=values.within(0, 65_535), help="Port of this machine; 0 for any that is free.")
    ] = 0,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Try models on a page in the browser: drop a picture. Nothing leaves this machine."""
    needs("export")
    from ..page.serve import PageServer
    from ..page.write import check_target, write_site

    if write:
        check_target(write)
        site = build(models or [], offline=True)
        write_site(site, write)
        size = sum(part.size for part in site.values())
        say(f"{plain(write)}  {counted(len(site), 'file')}, {bytes_words(size)}")
        return
    with PageServer({}, port) as server:  # a port that is taken is said before the work
        server.site = build(models or [], offline=False)
        say(f"{server.url}  (Ctrl-C ends it)")
        if open_browser:
            show(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def build(names: list[str], *, offline: bool) -> Site:
    """Put the page together, and show how far it is."""
    from ..catalog.lookup import look_up
    from ..page.models import export_models, offered_models
    from ..page.runtime import NAME, fetch_runtime
    from ..page.site import assemble

    names = list(dict.fromkeys(names or offered_models()))
    for name in names:
        look_up(name)
    with download_bar(NAME) as progress:
        runtime = fetch_runtime(progress)
    loaded = [open_model(name) for name in names]
    with progress_bar(f"exporting {counted(len(loaded), 'model')}, once") as progress:
        files, about = export_models(loaded, progress)
    return assemble(runtime, files, about | {"offline": offline})


def show(url: str) -> None:
    """Open a page in the user's browser, if there is one."""
    import webbrowser

    try:
        opened = webbrowser.open(url)
    except webbrowser.Error as error:
        raise EscError(f"the browser can't be opened: {error}; open {url} yourself.") from None
    if not opened:
        complain("note", f"no browser was found; open {url} yourself.")
