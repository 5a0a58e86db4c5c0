"""A file server whose answers are damaged in every part: the right file, or a refusal, within time and size."""

from __future__ import annotations

import socket
import time
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest

from esc_plugin.catalog.fetch import fetch
from esc_plugin.catalog.manifest import CatalogEntry
from esc_plugin.catalog.record import RECORD
from esc_plugin.weights.model import read_model

from ...hub_server import Handler, HubServer
from ..case import Case, check
from ..mutate import NUMBERS, damaged, retyped
from ..weights import equal, files, states

SERVER = HubServer().__enter__()
BODY = files()[0]
SERVER.release["true.safetensors"] = BODY
#: Seconds and bytes, instead of those for real files.
TIMEOUT, LONGEST, LARGEST = 0.4, 3, 200_000
#: What a server does besides: sends a little now and then, falls silent, hangs up, or never ends.
MANNERS = ("slow", "stops", "dies", "endless")
LOCATIONS = (
    *(
        "/release/true.safetensors",
        "http://example.invalid/x",
        "HTTP://example.invalid/x",
        "https://example.invalid/x",
        "//example.invalid/x",
    ),
    *(
        "https://[::1",
        "ftp://x/y",
        "file:///etc/passwd",
        "http://127.0.0.1@example.invalid/x",
        "",
        "?",
        "#",
        "../../x",
        "\\\\x\\y",
        "javascript:1",
    ),
    *(
        "https://example.invalid:99999/",
        "http://localhost:1/x",
        "data:,x",
        "http:/x",
        "https:///x",
        "/raw/x" + "y" * 5000,
        "http://[::ffff:1.2.3.4]/x",
    ),
)
HEADERS = (
    *(
        "Content-Length",
        "Transfer-Encoding",
        "Content-Encoding",
        "Location",
        "Connection",
        "Content-Type",
        "Content-Range",
        "Trailer",
    ),
    *("Set-Cookie", "X" * 3000, "Refresh", "Content-Disposition", "Upgrade", "Expect", ""),
)
VALUES = (
    *(
        "chunked",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "x",
        "-1",
        "+5",
        "0x10",
        "5, 6",
        "1e3",
        " 7",
        "",
        "close",
        "é",
        "a\r\n b",
    ),
    *(str(number) for number in (0, 1, len(BODY), len(BODY) - 1, len(BODY) + 1, 2**31, 2**63, 10**30)),
)


def case(rng: Random) -> Case:
    """Return a download from a server that answers with whatever bytes."""
    data = answer(rng)
    pieces = rng.choice((1, 1, 1, 3, 200))
    manner = rng.choice(MANNERS) if rng.random() < 0.04 else ""
    return Case(
        f"http {manner}".strip(),
        {},
        lambda folder: attempted(folder, data, pieces, manner),
        network=True,
        kept=(f"models/.{RECORD}.lock",),
    )


def attempted(folder: Path, data: bytes, pieces: int, manner: str = "") -> list[str]:
    """Download, and open what was kept."""

    def serve(handler: Handler) -> None:
        handler.close_connection = True
        size = max(len(data) // pieces, 1)
        for at in range(0, len(data), size):
            if manner == "dies" and at >= len(data) // 2:
                handler.connection.shutdown(socket.SHUT_RDWR)
                return
            handler.wfile.write(data[at : at + size])
            if manner == "slow":
                time.sleep(TIMEOUT / 3)
            elif manner == "stops" and at >= len(data) // 2:
                time.sleep(2 * TIMEOUT)
        while manner == "endless":
            handler.wfile.write(bytes(4096))  # until nobody reads

    SERVER.raw["x"] = serve
    entry = CatalogEntry("mine", 2, "clean photo", url=f"{SERVER.url}/raw/x", file="x.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esc_plugin.catalog.https.TIMEOUT_S", TIMEOUT)
        patch.setattr("esc_plugin.catalog.https.LONGEST_S", LONGEST)
        patch.setattr("esc_plugin.catalog.fetch.MAX_BYTES", LARGEST)
        patch.setenv("ESC_MODELS_DIR", str(folder / "models"))
        path = fetch(entry, folder / "models")
    # What is missing of an answer of known length comes from what never ends.
    sent = data.partition(b"\r\n\r\n")[2].ljust(len(BODY), b"\0")[: len(BODY)] if manner == "endless" else BODY
    noted = sha256(sent).hexdigest() in (folder / "models" / RECORD).read_text(encoding="utf-8")
    check(equal(read_model(path), states()[0]) or (noted and sent != BODY), "what was kept is not what was sent")
    return [f"models/{path.name}", f"models/{RECORD}"]


def answer(rng: Random) -> bytes:
    """Return the bytes of an answer."""
    kind = rng.choice(("plain", "chunked", "until closed", "redirected"))
    headers: list[tuple[Any, Any]] = [("Server", "x")]
    body, status = BODY, "HTTP/1.1 200 OK"
    if kind == "plain":
        headers.append(("Content-Length", len(body)))
    elif kind == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
        step = rng.choice((100, 5000, len(body)))
        pieces = [body[at : at + step] for at in range(0, len(body), step)]
        body = b"".join(_chunk(rng, piece) for piece in pieces) + rng.choice(
            (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"")
        )
    elif kind == "redirected":
        status = f"HTTP/1.1 {rng.choice((301, 302, 303, 307, 308))} Moved"
        headers += [("Location", rng.choice((LOCATIONS[0], *LOCATIONS))), ("Content-Length", 0)]
        body = rng.choice((b"", b"", bytes(10**6)))
    for _ in range(rng.choice((0, 1, 1, 2))):
        headers.insert(
            rng.randrange(len(headers) + 1), (rng.choice(HEADERS), rng.choice((*VALUES, *LOCATIONS, rng.choice(NUMBERS))))
        )
    head = "\r\n".join([status, *(f"{name}: {value}" for name, value in headers)]) + "\r\n\r\n"
    if rng.random() < 0.3:
        head = retyped(rng, head)
    if rng.random() < 0.15:
        body = body[: rng.randrange(len(body) + 1)] if rng.random() < 0.5 else body + rng.choice((b"x", bytes(300_000)))
    data = head.encode("utf-8", "replace") + body
    return damaged(rng, data[:300]) + data[300:] if rng.random() < 0.1 else data


def _chunk(rng: Random, piece: bytes) -> bytes:
    size = b"%x" % len(piece)
    if rng.randrange(12) == 0:
        size = rng.choice(
            (
                size.upper(),
                size + b";a=b",
                b"0" * 50 + size,
                b"-" + size,
                b"+" + size,
                b"0x" + size,
                b"ffffffffffffffff",
                b"",
                b"%x" % (len(piece) + 1),
            )
        )
    return size + rng.choice((b"\r\n",) * 20 + (b"\n", b"\r")) + piece + b"\r\n"
