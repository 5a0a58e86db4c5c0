"""The Hub's client, kept to HTTPS wherever answers lead, and to its cache whatever they call a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from ..errors import HubError
from ..texts import quoted
from .manifest import is_safe

#: Other programs in this process share the client's connections; of theirs nothing is refused.
_kept: ContextVar[bool] = ContextVar("_kept", default=False)
#: What an answer says of a file by which the client calls files and folders of its cache.
NAMING = ("ETag", "X-Linked-Etag", "X-Repo-Commit")
#: What leads out of a folder: a path, a drive, or dots alone.
LEADS_OUT = re.compile(r"[/\\\0]|^[A-Za-z]:|^\.+$")


@contextmanager
def guarded() -> Iterator[None]:
    """Let the Hub's client ask by HTTPS only, but this machine and the host of ``HF_ENDPOINT``, and stay in its cache.

    Raises
    ------
    HubError
        If an answer leads elsewhere, where nobody is asked then, or would have a file written out of the cache.
    """
    from huggingface_hub.utils import get_session

    _watch(get_session())
    before = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(before)


def _watch(session: Any) -> None:
    """See each request of a session before it is sent, also those that follow from answers, and these; once is enough."""
    if hooks := getattr(session, "event_hooks", None):  # httpx
        if _check_request not in hooks["request"]:
            hooks["request"].append(_check_request)
            hooks["response"].append(_check_answer)
    elif "send" not in vars(session):  # requests, in older clients
        send = session.send

        def checked(request: Any, **options: Any) -> Any:
            _check_request(request)
            answer = send(request, **options)
            _check_answer(answer)
            return answer

        session.send = checked


def _check_request(request: Any) -> None:
    from huggingface_hub import constants

    url = str(request.url)
    if _kept.get() and not is_safe(url) and urlsplit(url).hostname != urlsplit(constants.ENDPOINT).hostname:
        raise HubError(f"{constants.ENDPOINT} leads to {quoted(url)}, which is not HTTPS; it is not followed.")


def _check_answer(answer: Any) -> None:
    # Where the content is, which is asked for with GET, may name its version as it likes.
    for name in NAMING if _kept.get() and answer.request.method == "HEAD" else ():
        stated = answer.headers.get(name)
        if stated is not None and LEADS_OUT.search(stated.removeprefix("W/").strip('"')):
            raise HubError(f"{answer.url} calls a file {quoted(stated)} ({name}), which is no name of one.")
