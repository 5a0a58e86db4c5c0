"""What goes to other processes."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from threading import Lock
from typing import Any, ClassVar
from uuid import uuid4


class Parcel:
    """An object that travels closed, and is opened once in each process that uses it, for all of its threads.

    A scheduler that only hands it on needs nothing of what is inside, and none of the packages for that. Whoever gets it
    many times, as the processes of a pool do with each task, opens it once all the same.

    Parameters
    ----------
    value
        Anything that can be pickled. It is when the parcel leaves the process, and not before.
    """

    #: Those that were opened last here, by name: a model may need much memory.
    _opened: ClassVar[OrderedDict[str, Any]] = OrderedDict()
    _lock: ClassVar[Lock] = Lock()
    KEPT = 2

    def __init__(self, value: Any) -> None:
        self._name, self._value, self._packed = uuid4().hex, value, b""

    def __dask_tokenize__(self) -> str:
        """Tell dask what this is without looking inside."""
        return self._name

    def __getstate__(self) -> tuple[str, bytes]:
        """Close it."""
        import cloudpickle

        self._packed = self._packed or cloudpickle.dumps(self._value)
        return self._name, self._packed

    def __setstate__(self, state: tuple[str, bytes]) -> None:
        """Arrive, closed."""
        self._name, self._packed = state

    @property
    def value(self) -> Any:
        """What is inside."""
        return self._value if hasattr(self, "_value") else self._open()

    def _open(self) -> Any:
        with self._lock:
            if self._name not in self._opened:
                self._opened[self._name] = pickle.loads(self._packed)
            self._opened.move_to_end(self._name)
            while len(self._opened) > self.KEPT:
                self._opened.popitem(last=False)
            return self._opened[self._name]
