"""From an entry of the catalogue to a file on this machine."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from ..errors import Cancelled, HubError
from . import hub
from .catalog import CatalogEntry, models_folder
from .digest import file_sha256
from .hub import Cancel, Progress
from .manifest import is_loopback
from .store import AGAIN, Local, WrongFileError, find_local, hub_address, hub_copy, known_sha256, note, noted_source

log = logging.getLogger(__name__)

TIMEOUT_S = 30


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
    folder : path, optional
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
) -> Local:
    """Do what `fetch` does, and say also which sha256 the file must have."""
    place = Path(folder).expanduser() if folder else None
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
) -> Local:
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
        (work / target.name).replace(target)
    note(target, sha256=sha256, url=hub_address(entry))
    return Local(target, sha256, AGAIN)


def _from_url(entry: CatalogEntry, folder: Path, progress: Progress | None, cancel: Cancel | None) -> Local:
    expected = entry.sha256 or noted_source(entry, folder)
    with _workplace(folder) as work:
        came = work / entry.file
        _get(entry, came, progress, cancel, folder)
        sha256 = file_sha256(came)
        if expected and sha256 != expected:
            remedy = (
                f"It was not kept. Try again later; if it stays so, don't use it, and ask the people behind {entry.url}."
            )
            raise WrongFileError(entry.url, sha256, expected, remedy)
        if not expected:
            log.warning("first download of %s: its sha256 is %s, noted and checked from now on", entry.file, sha256)
        from .convert import convert  # reads the file, so it needs torch

        target = folder / f"{came.stem}.safetensors"
        convert(came, work / "converted.safetensors", source=entry.url).replace(target)
    kept_sha256 = file_sha256(target)
    note(target, sha256=kept_sha256, url=entry.url, source_sha256=sha256)
    return Local(target, kept_sha256, AGAIN)


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """Give an empty folder inside the target's, so that moving out of it is renaming; it is gone in the end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        directory = tempfile.TemporaryDirectory(prefix=".download-", dir=folder)
    except OSError as error:
        raise HubError(
            f"can't write into {str(folder)!r}: {error.strerror}; set ESC_MODELS_DIR to a folder that you may write to."
        ) from None
    with directory as name:
        yield Path(name)


class _Bar:
    """Takes what pooch reports: bytes since the last time, the last piece rounded up."""

    def __init__(self, progress: Progress | None, cancel: Cancel | None) -> None:
        self.total = self.done = 0
        self.progress, self.cancel = progress, cancel

    def update(self, n: int) -> None:
        self.done = min(self.done + n, self.total or self.done + n)
        if self.progress:
            self.progress(self.done, self.total)
        if self.cancel and self.cancel():
            raise Cancelled("the download was cancelled.")

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _get(entry: CatalogEntry, target: Path, progress: Progress | None, cancel: Cancel | None, folder: Path) -> None:
    import pooch

    bar = _Bar(progress, cancel)
    answers: list[requests.Response] = []

    def examine(response: requests.Response, **_: Any) -> None:
        answers.append(response)
        _stay_safe(response)

    get = pooch.HTTPDownloader(bar, 2**16, timeout=TIMEOUT_S, hooks={"response": examine})
    by_hand = f"try again, or put {entry.file!r} into {str(folder)!r} by hand"
    host = urlsplit(entry.url).netloc
    try:
        get(entry.url, str(target), None)
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        why = " (its name is only implied by the authors' option files)" if not entry.confirmed else ""
        hint = f"there is no such file{why}" if status == 404 else "try again later"
        raise HubError(
            f"{host} answered {status} for {entry.url}: {hint}; or put {entry.file!r} into {str(folder)!r} by hand."
        ) from None
    except requests.exceptions.ChunkedEncodingError:
        raise HubError(f"the connection to {host} broke while {entry.file!r} was on its way; {by_hand}.") from None
    except requests.RequestException:
        raise HubError(f"can't reach {host} for {entry.file!r}: check the connection, then {by_hand}.") from None
    except OSError as error:
        raise HubError(
            f"can't write {entry.file!r} into {str(folder)!r}: {error.strerror}; make room or set ESC_MODELS_DIR."
        ) from None
    finally:
        for answer in answers:  # pooch leaves them open where something goes wrong
            answer.close()
    if bar.total and target.stat().st_size < bar.total:
        raise HubError(f"the connection to {host} broke while {entry.file!r} was on its way; {by_hand}.")


def _stay_safe(response: requests.Response) -> None:
    """Refuse to be led from HTTPS to plain HTTP."""
    target = response.headers.get("location", "")
    if target.startswith("http://") and not is_loopback(target):
        raise HubError(f"{urlsplit(response.url).netloc} leads to {target[:100]!r}, which is not HTTPS; it is not followed.")
