"""The server misbehaves or dies halfway, and is well again afterwards."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from random import Random

from tests.hub_server import Handler, HubServer

from ..jobs.download import server
from ..stage import Stage

#: Seconds that the program waits for a silent server, and for all of a download, so that an attempt takes seconds.
SILENCE, LONGEST = 1, 4
#: Seconds in which a program with these limits has ended; a client may try some times.
PATIENCE = 60.0


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Let the server do something wrong, with an answer or with all that follow."""
    stage.lay()
    running, rng = server(), stage.rng
    # A chunk that isn't in a store is zeros, and nothing tells how one should be.
    unknowable = ("lies", "refuses", "circles", "miscounts") if stage.job.arguments[1].startswith("http") else ()
    name, first = rng.choice([one for one in WRONGS if one not in unknowable]), rng.choice((0, 0, 1, 2, 3, 30))
    count = rng.choice((1, 1, 2, 10**6))
    over = threading.Event()
    script = Script(WRONGS[name], Random(rng.random()), first, count, over)
    with misbehaving(running, script):
        stage.start(hurry).finish(PATIENCE)
        over.set()
    yield f"{name}, {count if count < 10**6 else 'all'} from answer {first} on"


def hurry() -> None:
    """Wait less for servers."""
    from aiohttp import ClientTimeout
    from fsspec.config import conf
    from huggingface_hub import constants

    from esc_plugin.catalog import https, hub

    https.TIMEOUT_S, https.LONGEST_S = SILENCE, LONGEST
    hub.LONGEST_S = hub.LONGEST_ANSWER_S = LONGEST
    conf["http"] = {"client_kwargs": {"timeout": ClientTimeout(total=LONGEST)}}
    constants.HF_HUB_DOWNLOAD_TIMEOUT = constants.HF_HUB_ETAG_TIMEOUT = SILENCE


class Script:
    """Which of a server's answers are wrong."""

    def __init__(self, wrong: Wrong, rng: Random, first: int, count: int, over: threading.Event) -> None:
        self.wrong, self.rng, self.over = wrong, rng, over
        self.numbers = range(first, first + count)
        self.answered, self.lock = 0, threading.Lock()

    def is_wrong(self) -> bool:
        """Whether the next answer is."""
        with self.lock:
            self.answered += 1
            return self.answered - 1 in self.numbers


@contextmanager
def misbehaving(running: HubServer, script: Script) -> Iterator[None]:
    """Let a server answer by a script."""
    answer = Handler.do_GET

    def answered(handler: Handler) -> None:
        if handler.hub is not running or not script.is_wrong():
            return answer(handler)
        with suppress(OSError):  # of who hung up
            script.wrong(handler, script, lambda: answer(handler))
        return None

    Handler.do_GET = answered
    try:
        yield
    finally:
        Handler.do_GET = answer


Wrong = Callable[[Handler, Script, Callable[[], None]], None]


def reset(handler: Handler) -> None:
    """End a connection as the kernel of a machine does whose process was killed."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        handler.connection.shutdown(socket.SHUT_RD)
    handler.connection.close()


def recorded(handler: Handler, answer: Callable[[], None]) -> bytes:
    """Return what would be answered, headers and all."""
    written, handler.wfile = handler.wfile, Recorder()
    try:
        answer()
        return handler.wfile.content
    finally:
        handler.wfile = written


class Recorder:
    """A file that remembers what was written."""

    def __init__(self) -> None:
        self.content, self.closed = b"", False

    def write(self, content: bytes) -> int:
        """Remember."""
        self.content += content
        return len(content)

    def flush(self) -> None:
        """Do nothing."""


def dies(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Reset the connection after some bytes."""
    content = recorded(handler, answer)
    handler.wfile.write(content[: script.rng.randint(0, len(content))])
    handler.wfile.flush()
    reset(handler)


def hangs_up(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Close the connection after some bytes, as if that were all."""
    content = recorded(handler, answer)
    handler.wfile.write(content[: script.rng.randint(0, len(content))])
    handler.close_connection = True


def refuses(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Answer that it can't now, and when to ask again."""
    status = script.rng.choice((408, 429, 500, 502, 503, 504, 403, 404, 410))
    again = script.rng.choice(("0", "1", "31536000", "99999999999999999999", "-1", "soon", "Wed, 21 Oct 2099 07:28:00 GMT"))
    handler.answer(status, b"no", {"Content-Length": "2", "Retry-After": again})


def goes_silent(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Say nothing more after the headers, or in the middle."""
    content = recorded(handler, answer)
    handler.wfile.write(
        content[: script.rng.choice((0, content.find(b"\r\n\r\n") + 4, script.rng.randint(0, len(content))))]
    )
    handler.wfile.flush()
    script.over.wait(PATIENCE)
    handler.close_connection = True


def is_slow(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Send a byte now and then, from somewhere on."""
    content = recorded(handler, answer)
    start = script.rng.choice((0, content.find(b"\r\n\r\n") + 4, script.rng.randint(0, len(content))))
    handler.wfile.write(content[:start])
    for i in range(start, len(content)):
        handler.wfile.write(content[i : i + 1])
        handler.wfile.flush()
        if script.over.wait(0.2):
            break
    handler.close_connection = True


def miscounts(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """State a wrong length."""
    head, _, body = recorded(handler, answer).partition(b"\r\n\r\n")
    stated = script.rng.choice((0, max(len(body) - 10, 0), len(body) + 10, 10**15, -5))
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length")]
    handler.wfile.write(b"\r\n".join([*kept, b"Content-Length: %d" % stated]) + b"\r\n\r\n" + body)
    handler.close_connection = True


def lies(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Send another content, of the same length: the file changed between two answers, or on the way."""
    head, end, body = recorded(handler, answer).partition(b"\r\n\r\n")
    changed = bytearray(body)
    for _ in range(script.rng.choice((1, 100)) if body else 0):
        changed[script.rng.randrange(len(body))] ^= 1 << script.rng.randrange(8)
    handler.wfile.write(head + end + changed)


def mistags(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Call the file by another hash."""
    head, end, body = recorded(handler, answer).partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if b"etag" not in line.lower()]
    tag = script.rng.choice((b'"' + b"0" * 64 + b'"', b'""', b'W/"x"', b'"' + b"a" * 40 + b'"'))
    lines += [b"ETag: " + tag, b"X-Linked-Etag: " + tag] if script.rng.random() < 0.7 else []
    handler.wfile.write(b"\r\n".join(lines) + end + body)


def circles(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Lead back to where it was asked, or nowhere."""
    target = script.rng.choice((handler.path, f"{handler.hub.url}{handler.path}", "http://127.0.0.1:9/x", "//", ""))
    handler.answer(script.rng.choice((301, 302, 307, 308)), b"", {"Location": target})


def unfolds(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Send a compressed answer that has no end."""
    import zlib

    handler.begin(200, {"Content-Encoding": "gzip", "ETag": '"x"'})
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    until = time.monotonic() + 2 * LONGEST
    while not script.over.is_set() and time.monotonic() < until:
        handler.wfile.write(packer.compress(bytes(2**22)))
        script.over.wait(0.01)
    handler.close_connection = True


def babbles(handler: Handler, script: Script, answer: Callable[[], None]) -> None:
    """Answer what is no HTTP, or a page for people as a hotel's network has it."""
    page = b"<html>Log in</html>"
    noise = script.rng.choice((b"\0" * 1000, b"220 ready\r\n", b"HTTP/1.1 999\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n" + page))
    handler.wfile.write(noise)
    handler.close_connection = True


WRONGS: Mapping[str, Wrong] = {
    one.__name__.replace("_", " "): one
    for one in (
        *(dies, hangs_up, refuses, goes_silent, is_slow, miscounts),
        *(lies, mistags, circles, unfolds, babbles),
    )
}
