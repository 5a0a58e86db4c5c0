"""A file from an address, by HTTPS and within bounds. Every error is one line that names the address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

from requests import Request, Response, Session
from urllib3.exceptions import HTTPError

from ..errors import HubError
from ..progress import Cancel, Progress, stop_if_asked
from ..texts import quoted
from .manifest import is_safe
from .patience import LONGEST_S, Patience, SlowError

#: Seconds of silence after which a server is given up.
TIMEOUT_S = 30
#: The most redirections that are followed.
REDIRECTIONS = 10
#: Bytes that are read at once.
BLOCK = 2**16
#: A compressed answer may unfold to a thousand times its size, and weights don't get smaller.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "esc-plugin"}


class NotFoundError(HubError):
    """There is no file at the address."""


def get(url: str, target: Path, *, max_bytes: int, progress: Progress | None = None, cancel: Cancel | None = None) -> None:
    """Write what an address holds into a file.

    Parameters
    ----------
    max_bytes : int
        The most that is written; an answer that is longer is an error.
    progress, cancel : callable, optional
        ``progress(done, total)`` in bytes (``total`` is 0 where the server doesn't say), and ``cancel() -> bool``.

    Raises
    ------
    NotFoundError, HubError
        If it can't be had: the server refuses, leads elsewhere than to HTTPS, breaks off, or sends too much or for too long.
    Cancelled
        If `cancel` returned True.
    OSError
        If `target` can't be written.
    """
    patience = Patience(LONGEST_S, progress, cancel)
    try:
        patience.wait_for(lambda: _get(url, target, max_bytes, patience.progress, patience.cancel))
    except SlowError:
        minutes = LONGEST_S // 60
        raise HubError(f"{quoted(url)} came so slowly that it was given up after {minutes} minutes.") from None


def _get(url: str, target: Path, max_bytes: int, progress: Progress | None, cancel: Cancel | None) -> None:
    with _answer(url) as answer:
        total, done = _stated_size(answer), 0
        with target.open("wb") as file:
            for block in _blocks(answer):
                done += len(block)
                if max(total, done) > max_bytes:
                    raise HubError(f"{quoted(url)} is larger than {max_bytes:,} bytes, the most that is taken from there.")
                file.write(block)
                if progress:
                    progress(done, total)
                stop_if_asked(cancel)
        if done < total:
            raise _broken(answer)


@contextmanager
def _answer(url: str) -> Iterator[Response]:
    """Ask, and go where the answers lead; each address is examined before it is asked."""
    address = url
    with Session() as session:
        for _ in range(REDIRECTIONS):
            with _ask(session, address) as answer:
                if not answer.is_redirect:
                    yield answer
                    return
                address = _next_address(session, answer)
    raise HubError(f"{quoted(url)} leads from one address to the next without end.")


def _ask(session: Session, url: str) -> Response:
    """Ask one address; `Session.get` would parse where its answer leads, and keep all that comes with it in memory."""
    try:
        request = session.prepare_request(Request("GET", url, HEADERS))
        settings = session.merge_environment_settings(url, {}, True, None, None)
        return session.get_adapter(url).send(request, timeout=TIMEOUT_S, **settings)
    except (OSError, HTTPError, ValueError) as error:  # addresses that only look like some are ValueErrors
        raise HubError(f"can't reach {quoted(url)} ({type(error).__name__}); check the connection.") from None


def _next_address(session: Session, answer: Response) -> str:
    """Return where an answer leads, as it will be asked: parsers differ about where hosts begin and end."""
    try:
        led = urljoin(answer.url, session.get_redirect_target(answer) or "")
        url = str(Request("GET", led).prepare().url)
    except ValueError:
        url = ""
    if not is_safe(url):
        led = quoted(answer.headers["location"])
        raise HubError(f"{quoted(answer.url)} leads to {led}, which is not HTTPS or no valid address; it is not followed.")
    return url


def _stated_size(answer: Response) -> int:
    """Return how many bytes will come, or 0 where the server doesn't say.

    Raises
    ------
    HubError
        If what comes is not the file.
    """
    url, status = quoted(answer.url), answer.status_code
    if status == 404:
        raise NotFoundError(f"{url} is answered with 404: there is no such file.")
    if status != 200:
        raise HubError(f"{url} is answered with {status} instead of the file.")
    if (coding := answer.headers.get("content-encoding", "identity").lower()) != "identity":
        raise HubError(f"{url} is sent compressed ({quoted(coding)}), which was not asked for.")
    size: int | None = answer.raw.length_remaining
    if size is None and not answer.raw.chunked and (stated := answer.headers.get("content-length")):
        raise HubError(f"{url} is answered with a Content-Length of {quoted(stated)}, which is no size.")
    return size or 0


def _blocks(answer: Response) -> Iterator[bytes]:
    """Yield what comes, as it comes."""
    try:
        while block := answer.raw.read1(BLOCK, decode_content=False):
            yield block
    except HTTPError:
        raise _broken(answer) from None


def _broken(answer: Response) -> HubError:
    return HubError(f"the connection broke while {quoted(answer.url)} was on its way.")
