"""Calls that may never end are waited for as long as is said, and no longer."""

from __future__ import annotations

import threading
import time

import pytest

from esc_plugin.catalog.patience import Patience, SlowError
from esc_plugin.errors import Cancelled


def test_what_a_call_returns_or_raises_is_handed_on() -> None:
    assert Patience(60).wait_for(lambda: 3) == 3
    with pytest.raises(KeyError, match="a"):
        Patience(60).wait_for(lambda: {}["a"])


def test_a_call_without_end_is_given_up() -> None:
    ended, patience = threading.Event(), Patience(0.2)

    def call() -> None:
        while not patience.cancel():
            time.sleep(0.01)
        ended.set()

    with pytest.raises(SlowError):
        patience.wait_for(call)
    assert ended.wait(10)  # it was told


def test_progress_and_cancel_are_called_by_who_waits() -> None:
    """A host's bar may be moved by one thread only, and a call that is asleep can't ask whether to stop."""
    asleep, seen = threading.Event(), list[tuple[int, int, str]]()
    patience = Patience(60, lambda *state: seen.append((*state, threading.current_thread().name)), lambda: len(seen) == 2)

    def call() -> None:
        assert patience.progress
        patience.progress(1, 3)
        patience.progress(2, 3)
        asleep.wait(60)

    with pytest.raises(Cancelled):
        patience.wait_for(call)
    asleep.set()
    assert seen == [(1, 3, "MainThread"), (2, 3, "MainThread")]


def test_an_error_of_the_progress_ends_the_call() -> None:
    """Hosts end what runs by an exception of their own in the progress."""

    def told(done: int, total: int) -> None:
        raise KeyError(done)

    patience = Patience(60, told)
    assert patience.progress
    with pytest.raises(KeyError):
        patience.wait_for(lambda: patience.progress and patience.progress(1, 2))
    assert patience.cancel()


def test_where_no_thread_starts_the_call_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    assert Patience(60).wait_for(lambda: 3) == 3
