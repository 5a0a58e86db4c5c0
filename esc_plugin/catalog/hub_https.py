"""The Hub's client, kept to HTTPS wherever answers lead."""

from __future__ import annotations

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


@contextmanager
def https_only() -> Iterator[None]:
    """Let the Hub's client ask by HTTPS only; this very machine and the host of ``HF_ENDPOINT`` in whatever way.

    Raises
    ------
    HubError
        If an answer leads elsewhere; nobody is asked then.
    """
    from huggingface_hub.utils import get_session

    _watch(get_session())
    before = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(before)


def _watch(session: Any) -> None:
    """See each request of a session before it is sent, also those that follow from answers; once is enough."""
    if hooks := getattr(session, "event_hooks", None):  # httpx
        if _check_request not in hooks["request"]:
            hooks["request"].append(_check_request)
    elif "send" not in vars(session):  # requests, in older clients
        send = session.send

        def checked(request: Any, **options: Any) -> Any:
            _check_request(request)
            return send(request, **options)

        session.send = checked


def _check_request(request: Any) -> None:
    from huggingface_hub import constants

    url = str(request.url)
    if _kept.get() and not is_safe(url) and urlsplit(url).hostname != urlsplit(constants.ENDPOINT).hostname:
        raise HubError(f"{constants.ENDPOINT} leads to {quoted(url)}, which is not HTTPS; it is not followed.")
