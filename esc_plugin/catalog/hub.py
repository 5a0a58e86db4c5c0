"""The Hugging Face Hub.

`huggingface_hub` does the work: cache, locks, resumption, mirrors (``HF_ENDPOINT``), tokens, offline mode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import EscError, HubError, WrongFileError
from ..progress import Cancel, Progress, stop_if_asked
from .downloads import LocalFile, known_sha256
from .hub_errors import BrokenError, UnreachableError, explain
from .hub_guard import guarded
from .hub_progress import reporting
from .manifest import SUFFIXES, CatalogEntry
from .model_files import choose_weights, read_config
from .patience import LONGEST_ANSWER_S, LONGEST_S, Patience

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
T = TypeVar("T")


def download(
    repo: str,
    file: str = "",
    revision: str | None = None,
    *,
    offline: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> tuple[Path, str]:
    """Return the local path of a weights file, and its commit; download it unless it is in the cache.

    Parameters
    ----------
    repo : str
        ``"org/repo"``.
    file : str
        In the repository; by default its only weights file, safetensors before others.
    revision : str, optional
        Commit, tag or branch.
    offline : bool
        Look only into the cache.
    progress, cancel : callable, optional
        ``progress(done, total)`` in bytes, and ``cancel() -> bool``.

    Raises
    ------
    HubError
        If it can't be had; the text says what to do.
    Cancelled
        If `cancel` returned True.
    """
    offline = offline or offline_by_environment()
    try:
        names = _list_files(repo, revision, offline)
    except UnreachableError:
        # The client would try for half a minute; whether anybody answers is known by now.
        names, offline = _list_cached(repo, revision), True
        if not names or (file and file not in names):
            raise
    except HubError:
        if not file:  # some mirrors have files but no lists
            raise
        names = []
    file = file or choose_weights(names, repo)
    stop_if_asked(cancel)
    patience = Patience(LONGEST_S, progress, cancel)
    options = reporting(f"{repo}/{file}", patience.progress, patience.cancel if progress or cancel else None)
    path = _persist(repo, file, revision, offline, patience, **options)
    if not _is_whole(path) and not offline:  # the client compares sizes only
        path = _persist(repo, file, revision, offline, patience, force_download=True, **options)
    if not _is_whole(path):
        raise WrongFileError(str(path), known_sha256(path), _stated(path), in_cache(path, "").remedy)
    if progress and not options:  # an old client can't report
        progress(path.stat().st_size, path.stat().st_size)
    return path, _commit(path)


def _stated(path: Path) -> str:
    """Return the sha256 that the Hub stated for a file of the cache, or nothing: a large file lies there under that name."""
    name = path.resolve().name
    return name if SHA256.fullmatch(name) else ""


def _is_whole(path: Path) -> bool:
    return not (stated := _stated(path)) or known_sha256(path) == stated


def _persist(repo: str, file: str, revision: str | None, offline: bool, patience: Patience, **options: Any) -> Path:
    """Download; after a broken connection go on, as newer clients do by themselves and older ones do when asked again."""
    import huggingface_hub

    for _ in range(0 if int(huggingface_hub.__version__.partition(".")[0]) >= 2 else 2):
        with suppress(BrokenError):
            return _ask(_download, repo, file, revision, offline, patience, **options)
    return _ask(_download, repo, file, revision, offline, patience, **options)


def stated_config(repo: str, commit: str, *, offline: bool = False) -> dict[str, Any]:
    """Return the configuration that a repository states at a commit, or nothing where there is none."""
    try:
        path = _ask(_download, repo, "config.json", commit, offline)
    except HubError:
        return {}
    return read_config(path)


def cached(entry: CatalogEntry) -> LocalFile | None:
    """Return an entry's file if it lies in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(entry.hub, entry.file, revision=entry.revision or None)
    return in_cache(Path(found), entry.sha256) if isinstance(found, str) else None


def in_cache(path: Path, sha256: str) -> LocalFile:
    """Return a file of the Hub's cache; what is to be deleted if it is wrong is more than the link that `path` often is."""
    repo = next((folder.parent for folder in path.parents if folder.name == "snapshots"), path)
    return LocalFile(path, sha256, f"Delete {str(repo)!r}; then it is downloaded again.")


def _download(repo: str, file: str, revision: str | None, offline: bool, **options: Any) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(repo, file, revision=revision, local_files_only=offline, library_name="esc-plugin", **options)
    )


def _list_files(repo: str, revision: str | None, offline: bool) -> list[str]:
    if offline or COMMIT.fullmatch(revision or ""):
        # A commit never changes: what is in the cache is what the Hub would send.
        known = _list_cached(repo, revision)
        if offline or any(name.endswith(SUFFIXES[0]) for name in known):
            return known or _ask(_fail_offline, repo, "", revision, offline=True)
    return _ask(_list_remote, repo, "", revision, offline=False)


def _list_remote(repo: str, file: str, revision: str | None, offline: bool) -> list[str]:
    from huggingface_hub import HfApi

    info = HfApi(library_name="esc-plugin").model_info(repo, revision=revision, timeout=30)
    names = (sibling.rfilename for sibling in info.siblings or [])
    return [name for name in names if isinstance(name, str)]  # the client believes whatever is sent


def _list_cached(repo: str, revision: str | None) -> list[str]:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repo, revision=revision, local_files_only=True))
    except (OSError, ValueError) as error:
        # Newer clients know from elsewhere that the snapshot is not complete; we never need all of it.
        if not (partial := getattr(error, "snapshot_path", None)):
            return []
        folder = Path(partial)
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def _fail_offline(repo: str, file: str, revision: str | None, offline: bool) -> list[str]:
    from huggingface_hub.errors import LocalEntryNotFoundError

    raise LocalEntryNotFoundError("nothing of it is in the cache")


def _commit(path: Path) -> str:
    """Return the commit from a path in the cache, ``.../snapshots/<commit>/file``."""
    return next((part for part in reversed(path.parts) if COMMIT.fullmatch(part)), "")


def offline_by_environment() -> bool:
    """Tell whether the user asked for offline use of the Hub's client (``HF_HUB_OFFLINE``)."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _ask(
    call: Callable[..., T],
    repo: str,
    file: str,
    revision: str | None,
    offline: bool,
    patience: Patience | None = None,
    **options: Any,
) -> T:
    """Call the client; whatever goes wrong becomes one sentence."""
    patience = patience or Patience(LONGEST_ANSWER_S)

    def asked() -> T:
        with guarded():  # which looks at what this thread sends
            return call(repo, file, revision, offline, **options)

    try:
        return asked() if offline else patience.wait_for(asked)
    except EscError:  # from what we gave it to call
        raise
    except Exception as error:  # which library carries the connection, and what it raises, changes with the client's version
        raise explain(error, repo, file, revision, offline) from None
