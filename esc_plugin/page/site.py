"""The page with all that it loads, as files that a browser asks for by name. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..disk import file_sha256

#: The page's own files, as they are written.
STATIC = Path(str(files(__package__) / "static"))
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
}
#: Nothing leaves the page's own origin, nothing foreign comes in, and WebAssembly may run.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
#: What a host should send with every file; the first two bring threads. The service worker adds them where a host can't.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
#: What is told about the models and the page, and read by it first.
MODELS = "models.json"
SERVICE_WORKER = "sw.js"
#: In the service worker: stands for its list of files.
FILES_MARK = re.compile(r"/\* files \*/ \{\}")


@dataclass(frozen=True)
class Part:
    """A file of a site: its bytes, or where they are."""

    content: Path | bytes

    def read(self) -> bytes:
        """Return the bytes."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Of the bytes."""
        return hashlib.sha256(self.content).hexdigest() if isinstance(self.content, bytes) else file_sha256(self.content)


#: By name as in an address, without a slash in front.
Site = dict[str, Part]


def mime_type(name: str) -> str:
    """Return what a file is, by its name."""
    return TYPES.get(Path(name).suffix, "application/octet-stream")


def assemble(runtime: Mapping[str, Path], models: Mapping[str, Path], about: dict[str, Any]) -> Site:
    """Put a site together.

    Parameters
    ----------
    runtime : mapping of str to Path
        The runtime's files.
    models : mapping of str to Path
        Files of models.
    about : dict
        What the page is told, as JSON.
    """
    site = {path.relative_to(STATIC).as_posix(): Part(path) for path in STATIC.rglob("*") if path.is_file()}
    site |= {f"runtime/{name}": Part(path) for name, path in runtime.items()}
    site |= {f"models/{name}": Part(path) for name, path in models.items()}
    site[MODELS] = Part(json.dumps(about, indent=1).encode())
    site["_headers"] = Part(_headers().encode())
    return with_service_worker(site)


def with_service_worker(site: Site) -> Site:
    """Return a site whose service worker knows its files: it changes with any of them, by which browsers see an update."""
    known = {name: part.sha256 for name, part in sorted(site.items()) if name not in (SERVICE_WORKER, "_headers")}
    text = (STATIC / SERVICE_WORKER).read_text(encoding="utf-8")
    filled, count = FILES_MARK.subn(lambda _: json.dumps({"files": known, "headers": HEADERS}, indent=1), text)
    assert count == 1
    return site | {SERVICE_WORKER: Part(filled.encode())}


def _headers() -> str:
    """Return the headers as several hosts of static files read them from a file of this name."""
    return "/*\n" + "".join(f"  {name}: {value}\n" for name, value in HEADERS.items())
