"""What every program has is missing: file handles, threads, streams, an encoding, a home, a cache."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from ..group import enter, group, place_of
from ..stage import Stage

#: Folders that nobody can make, because a file has their place.
HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "MPLCONFIGDIR", "ESC_CACHE_DIR")
ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-16")


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Take one of them away."""
    stage.lay()
    ways = [files, starts, streams, deaf, encoding, homes, homeless]
    # Processes of dask that can't start a thread print stacks of their own.
    ways += [threads] * ("distributed" not in stage.job.packages and place_of("pids") is not None)
    with stage.rng.choice(ways)(stage) as what:
        pass
    yield what


@contextmanager
def files(stage: Stage) -> Iterator[str]:
    """Allow few file handles."""
    count = stage.rng.randint(20, 64)
    _run(stage, partial(limit_files, count))
    yield f"{count} file handles"


@contextmanager
def threads(stage: Stage) -> Iterator[str]:
    """Allow few threads and processes, in a control group."""
    count = stage.rng.randint(1, 12)
    with group("pids", {"pids.max": str(count)}) as folder:
        _run(stage, partial(enter, folder))
    yield f"{count} threads and processes"


@contextmanager
def starts(stage: Stage) -> Iterator[str]:
    """Let Python's threads not start after a few."""
    count = stage.rng.randint(0, 4)
    _run(stage, partial(limit_starts, count))
    yield f"{count} threads of Python"


@contextmanager
def streams(stage: Stage) -> Iterator[str]:
    """Begin without some of the standard streams."""
    closed = tuple(n for n in range(3) if stage.rng.random() < 0.6) or (1,)
    _run(stage, partial(close, closed), unheard=2 in closed)
    yield f"without the streams {closed}"


@contextmanager
def deaf(stage: Stage) -> Iterator[str]:
    """Let standard output, or all that is said, go where nobody reads."""
    streams = stage.rng.choice(((1,), (1, 2)))
    _run(stage, partial(break_pipes, streams), unheard=True)
    yield f"nobody reads {streams}"


@contextmanager
def encoding(stage: Stage) -> Iterator[str]:
    """Let a terminal have an encoding of old."""
    name = stage.rng.choice(ENCODINGS)
    _run(stage, partial(encode, name), LC_ALL="C", LANG="C", LANGUAGE="", PYTHONIOENCODING=name)
    yield f"the encoding {name}"


@contextmanager
def homes(stage: Stage) -> Iterator[str]:
    """Let neither home nor caches be there."""
    (stage.scratch / "file").write_text("")
    names = [name for name in HOMES if stage.rng.random() < 0.7] or ["HOME"]
    _run(stage, None, **{name: str(stage.scratch / "file" / name) for name in names})
    yield f"without {', '.join(names)}"


@contextmanager
def homeless(stage: Stage) -> Iterator[str]:
    """Let the user have no home, as the numbers have that containers run as."""
    _run(stage, forget_home)
    yield "without a home"


def _run(stage: Stage, before: Callable[[], None] | None, unheard: bool = False, **environment: str) -> None:
    program = stage.start(before, **environment)
    program.unheard = unheard
    program.finish(60 + 10 * stage.seconds)
    program.left()


def forget_home() -> None:
    """Let nothing tell where this user's home is."""
    import pwd

    def nobody(number: int) -> None:
        raise KeyError(number)

    pwd.getpwuid = nobody  # type: ignore[assignment]
    for name in HOMES:
        os.environ.pop(name, None)


def limit_files(count: int) -> None:
    """Let this process have so many file handles more than it has."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def limit_starts(count: int) -> None:
    """Let so many threads of this process start, and fail then as Python does."""
    start, lock, left = threading.Thread.start, threading.Lock(), [count]

    def refused(thread: threading.Thread) -> None:
        with lock:
            left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = refused  # type: ignore[method-assign]


def close(numbers: tuple[int, ...]) -> None:
    """Close streams; Python has none for those that are closed when it starts."""
    for number in numbers:
        os.close(number)
        setattr(sys, ("stdin", "stdout", "stderr")[number], None)
        setattr(sys, ("__stdin__", "__stdout__", "__stderr__")[number], None)


def break_pipes(numbers: tuple[int, ...]) -> None:
    """Put pipes in the place of streams, which nobody reads."""
    for number in numbers:
        read, write = os.pipe()
        os.close(read)
        os.dup2(write, number)
        os.close(write)
        setattr(sys, ("stdin", "stdout", "stderr")[number], os.fdopen(number, "w", closefd=False))  # as Python begins


def encode(name: str) -> None:
    """Give the standard streams an encoding."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding=name, errors="strict")  # type: ignore[union-attr]
