"""What was found last, kept while it may be wanted again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any


class Recent:
    """Results of the latest calls, by what they depend on. Threads may share it."""

    def __init__(self, kept: int = 32) -> None:
        self._kept, self._lock = kept, Lock()
        self._found: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any] | None = None) -> Any:
        """Return what is kept; else what `make` makes, if it is given."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        return None if make is None else self.keep(key, make())

    def keep(self, key: Hashable, value: Any) -> Any:
        """Keep and return a value."""
        with self._lock:
            self._found[key] = value
            while len(self._found) > self._kept:
                self._found.popitem(last=False)
        return value

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._found.clear()
