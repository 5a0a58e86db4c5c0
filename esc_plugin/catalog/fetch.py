"""From an entry of the catalogue to a file on this machine."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import expanduser
from pathlib import Path

from ..disk import file_sha256
from ..errors import CheckpointError, HubError, WrongFileError
from ..progress import Cancel, Progress
from ..weights.limits import MAX_BYTES
from ..workplace import workplace
from . import hub
from .downloads import (
    DOWNLOAD_AGAIN,
    LocalFile,
    converted,
    find_local,
    hub_address,
    hub_copy,
    known_sha256,
    noted_source,
)
from .manifest import CatalogEntry
from .menu import models_folder
from .record import keep

log = logging.getLogger(__name__)

#: What to do about a download that is another file than expected.
NOT_KEPT = "It was not kept. Try again later; if it stays so, don't use it, and ask the people behind {}."


def fetch(
    entry: CatalogEntry,
    folder: str | Path | None = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    offline: bool = False,
) -> Path:
    """Return the file of a model on offer, downloaded if it has to be.

    Parameters
    ----------
    entry : CatalogEntry
        Of `list_models` or `find_model`.
    folder : Path, optional
        Where downloads go, such as a host's own models folder; it is made if need be. By default the models folder, and for
        the Hugging Face Hub its cache.
    progress, cancel : callable, optional
        ``progress(done, total)`` in bytes (``total`` may be 0 where the server doesn't say), and ``cancel() -> bool``.
    offline : bool
        Use only what is on this machine.

    Returns
    -------
    Path
        Of the bundled file, or of one with the right name or hash in the folder or the models folder, or of the download. A
        downloaded PyTorch file is kept as safetensors.

    Raises
    ------
    HubError
        If it can't be had.
    CheckpointError
        If the file is not what the catalogue promises, or no ESC network.
    Cancelled
        If `cancel` returned True.
    """
    local = fetch_local(entry, folder, progress=progress, cancel=cancel, offline=offline)
    if local.sha256 and (found := known_sha256(local.path)) != local.sha256:
        raise WrongFileError(str(local.path), found, local.sha256, local.remedy)
    return local.path


def fetch_local(
    entry: CatalogEntry,
    folder: str | Path | None = None,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    offline: bool = False,
) -> LocalFile:
    """Do what `fetch` does, and say also which sha256 the file must have."""
    place = Path(expanduser(folder)) if folder else None  # noqa: PTH111  # that of Path can't stand a user who isn't there
    if found := find_local(entry, place):
        return found
    if entry.path:
        raise HubError(f"the file of {entry.name!r}, {entry.path!r}, is not there; correct the manifest or bring it back.")
    if entry.hub:
        return _from_hub(entry, place, progress, cancel, offline)
    if offline or hub.offline_by_environment():
        raise HubError(
            f"{entry.name!r} is not on this machine, and offline use was asked for; put {entry.file!r} (from {entry.url}) "
            f"into {str(place or models_folder())!r}."
        )
    return _from_url(entry, place or models_folder(), progress, cancel)


def _from_hub(
    entry: CatalogEntry, folder: Path | None, progress: Progress | None, cancel: Cancel | None, offline: bool
) -> LocalFile:
    path, _ = hub.download(entry.hub, entry.file, entry.revision or None, offline=offline, progress=progress, cancel=cancel)
    local = hub.in_cache(path, entry.sha256)
    if folder is None:
        return local
    sha256 = file_sha256(path)
    if entry.sha256 and sha256 != entry.sha256:
        raise WrongFileError(str(path), sha256, entry.sha256, local.remedy)
    target = folder / Path(entry.file).name
    target = hub_copy(entry, folder) if target.exists() else target
    with _workplace(folder) as work:
        shutil.copyfile(path, work / target.name)
        sha256 = keep(work / target.name, target, url=hub_address(entry))
    return LocalFile(target, sha256, DOWNLOAD_AGAIN)


def _from_url(entry: CatalogEntry, folder: Path, progress: Progress | None, cancel: Cancel | None) -> LocalFile:
    """Download a file, and keep it as safetensors once its hash is right and it opens."""
    expected = entry.sha256 or noted_source(entry, folder)
    target = converted(entry, folder)
    with _workplace(folder) as work:
        received = work / entry.file
        _get(entry, received, progress, cancel, folder)
        sha256 = file_sha256(received)
        if expected and sha256 != expected:
            raise WrongFileError(entry.url, sha256, expected, NOT_KEPT.format(entry.url))
        made = _convert(entry, received, work / "converted.safetensors")
        kept_sha256 = keep(made, target, url=entry.url, source_sha256=sha256)
    if not expected:
        log.warning("first download of %s: its sha256 is %s, noted and checked from now on", entry.file, sha256)
    return LocalFile(target, kept_sha256, DOWNLOAD_AGAIN)


def _convert(entry: CatalogEntry, received: Path, target: Path) -> Path:
    from ..weights.convert import convert  # reads the file, so it needs torch

    try:
        return convert(received, target, source=entry.url, window_size=entry.window_size or None)
    except CheckpointError as error:  # the file is gone by the time that anybody reads this
        raise CheckpointError(str(error).replace(repr(str(received)), repr(entry.url))) from None


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Give an empty folder inside the target's, so that moving out of it is renaming; it is gone in the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with workplace(folder) as work:
            yield work
    except (OSError, NotImplementedError) as error:  # the latter of folders that know no locks
        why = getattr(error, "strerror", None) or error
        raise HubError(
            f"can't write into {str(folder)!r}: {why}; make room, or set ESC_MODELS_DIR to a folder that you may write to."
        ) from None


def _get(entry: CatalogEntry, target: Path, progress: Progress | None, cancel: Cancel | None, folder: Path) -> None:
    from . import https  # takes a moment to load

    by_hand = f"put {entry.file!r} into {str(folder)!r} by hand."
    try:
        https.get(entry.url, target, max_bytes=MAX_BYTES, progress=progress, cancel=cancel)
    except https.NotFoundError as error:
        why = "" if entry.confirmed else "Its name is only implied by the authors' option files. "
        raise HubError(f"{error} {why}If you have it, {by_hand}") from None
    except HubError as error:
        raise HubError(f"{error} Try again later, or {by_hand}") from None
