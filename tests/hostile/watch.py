"""What a process does besides computing: programs run, files touched, addresses asked, memory taken."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOOPBACK = ("127.0.0.1", "::1", "localhost", "", None)
#: Events of Python that nothing hostile may bring about.
FORBIDDEN = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.startfile", "subprocess.Popen"),
    *("pickle.find_class", "os.kill", "webbrowser.open"),
)
#: Events that name a path which is changed, and at which of their arguments; and where an open folder may stand that the
#: path is relative to.
CHANGES = {
    **dict.fromkeys(("os.truncate", "os.chmod", "os.chown", "os.utime"), (0,)),
    **dict.fromkeys(("os.rename", "os.link"), (0, 1)),
    "os.symlink": (1,),
}
INSIDE = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """Sees what a process does between `begin` and `end`, and stops what it must not do.

    Parameters
    ----------
    scratch : Path
        The one folder that may be changed.
    """

    def __init__(self, scratch: Path) -> None:
        self.scratch = os.path.realpath(scratch)
        self.seen: list[str] = []
        self.active = self.network = False
        self._tests: dict[str, Callable[[tuple[Any, ...]], str]] = {name: lambda a: f"{a[:2]!r:.80}" for name in FORBIDDEN}
        self._tests |= {name: lambda a, at=at: self._changed(*(a[i] for i in at)) for name, at in CHANGES.items()}
        self._tests |= {name: lambda a, at=at: self._changed_inside(a[0], a[at]) for name, at in INSIDE.items()}
        self._tests |= {"open": self._opened, "exec": self._executed}
        self._tests |= {"import": lambda a: self._within(a[1]), "ctypes.dlopen": lambda a: self._within(a[0])}
        self._tests |= {"socket.getaddrinfo": self._asked, "socket.connect": self._connected}
        sys.addaudithook(self._hook)

    @contextmanager
    def over(self, network: bool = False) -> Iterator[None]:
        """Watch the body."""
        self.seen, self.network, self.active = [], network, True
        try:
            yield
        finally:
            self.active = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active or event not in self._tests:
            return
        self.active = False  # what the test itself does
        try:
            problem = self._tests[event](arguments)
        finally:
            self.active = True
        if problem:
            if problem != "nobody answers":
                self.seen.append(f"{event} {problem}")
            raise PermissionError(f"{event} is not allowed here")

    def _changed(self, *paths: Any) -> str:
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                # The last part of a name is not followed: a link itself is what is changed.
                folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
                place = os.path.join(os.path.realpath(folder), name)
                if place != self.scratch and not place.startswith(self.scratch + os.sep):
                    return repr(place)[:120]
        return ""

    def _changed_inside(self, path: Any, folder: int) -> str:
        if folder == -1:
            return self._changed(path)
        link = f"/proc/self/fd/{folder}"
        return self._changed(os.path.join(os.readlink(link), os.fsdecode(path))) if os.path.exists(link) else ""

    def _opened(self, arguments: tuple[Any, ...]) -> str:
        path, mode, flags = arguments
        writes = bool(flags & WRITING) if isinstance(flags, int) else bool(set(mode or "") & set("wax+"))
        if not writes or isinstance(path, int) or os.fsdecode(path) == os.devnull:
            return ""
        return self._changed(os.path.realpath(path))

    def _executed(self, arguments: tuple[Any, ...]) -> str:
        return self._within(getattr(arguments[0], "co_filename", ""))

    def _within(self, file: Any) -> str:
        """Return the name of a program that came with the case."""
        return repr(file) if isinstance(file, str) and file.startswith(self.scratch) else ""

    def _asked(self, arguments: tuple[Any, ...]) -> str:
        host, port = arguments[:2]
        host = host.decode("latin-1") if isinstance(host, bytes) else host
        if host in LOOPBACK:
            return ""
        # Plain HTTP goes to nobody but this machine.
        return "nobody answers" if self.network and str(port) != "80" else repr(host)

    def _connected(self, arguments: tuple[Any, ...]) -> str:
        address = arguments[1]
        return "" if not isinstance(address, tuple) else self._asked(address)


def begin_peak() -> int:
    """Return the bytes that this process has, and begin to measure the most of it; 0 where that can't be told."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    return 0


def peak_since(before: int) -> int:
    """Return the most that was taken since `begin_peak` beyond what it told."""
    return max(_status("VmHWM") - before, 0) if before else 0


def _status(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0
