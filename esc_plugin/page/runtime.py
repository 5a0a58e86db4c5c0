"""ONNX Runtime Web: one version of npm's package, every byte known. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from ..disk import file_sha256, replacing
from ..errors import EscError, HubError, WrongFileError
from ..progress import Cancel, Progress
from ..texts import quoted
from .cache import cache_folder, own_folder

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
#: Where the files of npm's packages are served one by one, and what names another place that has the same ones.
PUBLIC, SETTING = f"https://cdn.jsdelivr.net/npm/{PACKAGE}@{VERSION}/dist/", "ESC_RUNTIME_URL"
#: More than a file has.
MAX_BYTES = 40_000_000
#: What the page loads of its folder ``dist``, and the sha256 of each: on a processor, and with WebGPU.
FILES = {
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
    "ort-wasm-simd-threaded.asyncify.mjs": "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
}
NAME = f"{PACKAGE}-{VERSION}"


def fetch_runtime(progress: Progress | None = None, cancel: Cancel | None = None) -> dict[str, Path]:
    """Return the runtime's files by name, downloaded once.

    Parameters
    ----------
    progress, cancel : callable, optional
        ``progress(done, total)`` in bytes, and ``cancel() -> bool``.

    Raises
    ------
    HubError
        If it isn't here and can't be had, or what comes isn't what it should be.
    EscError
        If `SETTING` is no address, or the cache can't be written to.
    Cancelled
        If `cancel` returned True.
    """
    files = {name: cache_folder() / NAME / name for name in FILES}
    if not _is_whole(files):
        with own_folder(NAME) as folder:
            if not _is_whole(files):  # another process may have fetched it in the meantime
                _download(folder, progress, cancel)
    return files


def _is_whole(files: dict[str, Path]) -> bool:
    return all(path.is_file() and file_sha256(path) == FILES[name] for name, path in files.items())


def _source() -> str:
    from ..catalog.manifest import is_safe

    url = os.environ.get(SETTING) or PUBLIC
    if not is_safe(url):
        raise EscError(f"{SETTING} is set to {quoted(url)}, which is no valid address that begins with https://.")
    return url.rstrip("/") + "/"


def _download(folder: Path, progress: Progress | None, cancel: Cancel | None) -> None:
    from ..catalog.hub import offline_by_environment

    source = _source()
    by_hand = f"put the files of the folder dist of npm's {PACKAGE}@{VERSION} into {str(folder)!r} by hand."
    if offline_by_environment():
        raise HubError(f"the page's runtime ({NAME}) isn't on this machine, and offline use was asked for; {by_hand}")
    try:
        for name, sha256 in FILES.items():
            _fetch(source + name, folder / name, sha256, progress, cancel)
    except HubError as error:
        raise HubError(f"{error} The page needs it once; try again with a connection, or {by_hand}") from None


def _fetch(url: str, path: Path, sha256: str, progress: Progress | None, cancel: Cancel | None) -> None:
    from ..catalog import https

    with replacing(path) as beside:
        https.get(url, beside, max_bytes=MAX_BYTES, progress=progress, cancel=cancel)
        if (found := file_sha256(beside)) != sha256:
            raise WrongFileError(url, found, sha256, "")
