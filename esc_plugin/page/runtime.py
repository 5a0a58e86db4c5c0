"""ONNX Runtime Web: one version, from the npm registry, every byte known. Imports no torch."""

from __future__ import annotations

import base64
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from ..disk import file_digest, file_sha256, replacing
from ..errors import EscError, HubError
from ..progress import Cancel, Progress
from ..texts import quoted
from .cache import cache_folder, own_folder

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
#: Of the package as npm's lock files have it.
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
#: More than the package has.
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
PUBLIC_REGISTRY = "https://registry.npmjs.org/"
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
        If it isn't here and can't be had, or what comes isn't the package.
    EscError
        If npm's setting of the registry is none, or the cache can't be written to.
    Cancelled
        If `cancel` returned True.
    """
    files = {name: cache_folder() / NAME / name for name in FILES}
    if not _is_whole(files):
        with own_folder(NAME) as folder:
            if not _is_whole(files):  # another process may have fetched it in the meantime
                _download(folder, progress, cancel)
    return files


def registry() -> str:
    """Return npm's registry: as npm's environment or its user's ``.npmrc`` says, or the public one.

    Raises
    ------
    EscError
        If it is no address of HTTPS.
    """
    from ..catalog.manifest import is_safe

    url = next(_stated_registries(), PUBLIC_REGISTRY)
    if not is_safe(url):
        raise EscError(f"npm's registry is set to {quoted(url)}, which is no valid address that begins with https://.")
    return url.rstrip("/") + "/"


def _stated_registries() -> Iterator[str]:
    """Yield what npm's settings say, the strongest first; other settings are none of our business."""
    settings = {name.lower(): value for name, value in os.environ.items() if value}
    if stated := settings.get("npm_config_registry"):
        yield stated
    own = Path(settings.get("npm_config_userconfig", "~/.npmrc")).expanduser()
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "registry" and value:
            yield os.path.expandvars(value.strip("\"'"))


def _is_whole(files: dict[str, Path]) -> bool:
    return all(path.is_file() and file_sha256(path) == FILES[name] for name, path in files.items())


def _download(folder: Path, progress: Progress | None, cancel: Cancel | None) -> None:
    from ..catalog import https
    from ..catalog.hub import offline_by_environment

    url = f"{registry()}{PACKAGE}/-/{NAME}.tgz"
    by_hand = f"unpack the files of its folder package/dist into {str(folder)!r} by hand."
    if offline_by_environment():
        raise HubError(
            f"the page's runtime ({NAME}) isn't on this machine, and offline use was asked for; get {url}, {by_hand}"
        )
    package = folder / ".package.tgz"
    try:
        https.get(url, package, max_bytes=MAX_BYTES, progress=progress, cancel=cancel)
        _check(package, url)
        _unpack(package, folder)
    except HubError as error:
        raise HubError(f"{error} The page needs it once; try again with a connection, or get it and {by_hand}") from None
    finally:
        package.unlink(missing_ok=True)


def _check(package: Path, url: str) -> None:
    found = f"sha512-{base64.b64encode(file_digest(package, 'sha512')).decode()}"
    if found != INTEGRITY:
        raise HubError(f"{quoted(url)} is not the package that it should be: {found} instead of {INTEGRITY}.")


def _unpack(package: Path, folder: Path) -> None:
    """Write the files that the page loads; what the package names its other members doesn't matter."""
    with tarfile.open(package) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None  # the archive's hash is known, and what is in it
            with replacing(folder / name) as beside:
                beside.write_bytes(member.read())
