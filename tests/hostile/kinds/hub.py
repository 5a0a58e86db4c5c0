"""A Hub whose lists, headers and answers are not what they should be: the right model, or a refusal, and nothing outside."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from esc_plugin.catalog.load import load_model

from ...hub_server import HubServer
from ...test_hub import point_to
from ..case import Case, check
from ..mutate import NUMBERS, json_bytes, retyped, twisted
from ..weights import equal, files, states

SERVER = HubServer().__enter__()
SERVER.repo("org/repo", {"a.safetensors": files()[0], "config.json": b"{}", "README.md": b"words"})
#: Names that lead out of a folder, or aren't names.
NAMES = (
    *(
        "../../a.safetensors",
        "/etc/a.safetensors",
        "..\\..\\a.safetensors",
        "C:\\a.safetensors",
        "a/../../../b.safetensors",
        "~/a.safetensors",
    ),
    *(
        "",
        ".",
        "..",
        "a.safetensors",
        "b.safetensors",
        "x" * 300 + ".safetensors",
        "a\0.safetensors",
        "a\n.safetensors",
        "\u202e.safetensors",
    ),
    *("model.safetensors", "a.pth", None, 3, [], {"a": 1}, "a.safetensors/../x", "COM1.safetensors", "%2e%2e/a.safetensors"),
)
HEADERS = (
    *(
        "X-Repo-Commit",
        "ETag",
        "X-Linked-Etag",
        "X-Linked-Size",
        "Content-Length",
        "Location",
        "Content-Type",
        "X-Error-Code",
    ),
    *("X-Error-Message", "Content-Encoding", "Content-Range", "Set-Cookie", "Link", "Retry-After", "Transfer-Encoding"),
)
CONTENT = (
    *(
        "",
        '"',
        "../../x",
        "a/b/c",
        "/etc/passwd",
        "..",
        "main",
        "0" * 40,
        "x" * 5000,
        "-1",
        "1e9",
        "gzip",
        "chunked",
        "br",
        "é",
        "%00",
    ),
    *(
        "http://example.invalid/x",
        "//example.invalid/x",
        "/org/repo/resolve/main/a.safetensors",
        "file:///etc/passwd",
        "EntryNotFound",
    ),
    *(
        "GatedRepo",
        "RepoNotFound",
        "RevisionNotFound",
        "bytes 5-9/10",
        "identity",
        '"../x"',
        'W/"x"',
        "0",
        "99999999999999999999",
    ),
)
STATUSES = (200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 410, 416, 418, 451)


def case(rng: Random) -> Case:
    """Return a model that is asked for from a Hub that means no good."""
    what = rng.choice(("list", "list", "headers", "headers", "status", "words"))
    source = rng.choice(("org/repo", "org/repo", "org/repo/a.safetensors", "org/repo/a.safetensors@main"))
    script = Random(rng.random())  # of what is answered: the client decides how often it asks
    return Case(f"hub, {what}", {}, lambda folder: attempted(folder, source, what, script), network=True, kept=("cache",))


def attempted(folder: Path, source: str, what: str, script: Random) -> list[str]:
    """Load a model through the real client."""
    SERVER.bend = SERVER.bend_json = None
    if what in ("list", "words"):
        SERVER.bend_json = lambda value: _listed(script, what, value)
    else:
        SERVER.bend = lambda status, headers: _bent(script, what, status, headers)
    with pytest.MonkeyPatch.context() as patch:
        point_to(SERVER.url, patch, folder)
        patch.setattr(time, "sleep", lambda seconds: None)  # between the client's attempts
        model = load_model(source)
        check(equal(model, states()[0]), "another model than the repository's")
    return []


def _listed(script: Random, what: str, value: Any) -> bytes:
    if what == "list" and isinstance(value, dict) and script.random() < 0.7:
        names = [script.choice(NAMES) for _ in range(script.choice((0, 1, 1, 2, 3000)))]
        value = value | {"siblings": [{"rfilename": name} for name in names]}
        return json_bytes(Random(script.randrange(12)), value)
    return json_bytes(script, twisted(script, value))


def _bent(script: Random, what: str, status: int, headers: dict[str, str]) -> tuple[int, dict[str, str]]:
    if script.random() < 0.3:
        return status, headers
    if what == "status":
        return script.choice(STATUSES), headers
    name = script.choice((*HEADERS, *headers))
    value = script.choice((*CONTENT, retyped(script, headers.get(name, "")), str(script.choice(NUMBERS))))
    value = "".join(c for c in value if c.isprintable()).encode("latin-1", "replace").decode("latin-1")
    if script.random() < 0.2:
        return status, {key: kept for key, kept in headers.items() if key != name}
    return status, headers | {name: value}
