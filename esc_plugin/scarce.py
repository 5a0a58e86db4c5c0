"""What a system can run out of, told from what libraries raise then."""

from __future__ import annotations

import errno

MORE_MEMORY = "close other programs, or allow this one more (ulimit -v, or a container's limit)."
#: What there isn't enough of, and what to do about it.
REMEDIES = {
    "memory": f"there isn't enough memory: {MORE_MEMORY}",
    "files": "the system allows this program no more open files: allow it some hundred (ulimit -n).",
    "threads": "the system allows this program no more threads: allow it more (ulimit -u, or a container's limit).",
}
NUMBERS = {
    errno.ENOMEM: "memory",
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.EAGAIN: "threads",  # of a process that can't be started
}
#: What is said by libraries whose errors have no number, in lower case.
WORDS = {
    "failed to map segment": "memory",
    "cannot allocate memory": "memory",
    "can't allocate memory": "memory",
    "not enough memory": "memory",
    "out of memory": "memory",
    "bad_alloc": "memory",
    "too many open files": "files",
    "start new thread": "threads",
    "start new process": "threads",
    "resource temporarily unavailable": "threads",
}


def what_to_do(error: BaseException) -> str:
    """Return a sentence for a person if an error, or what led to it, says that the system has no more of something."""
    return REMEDIES.get(lack_behind(error), "")


def lack_behind(error: BaseException) -> str:
    """Return which of `REMEDIES` an error, or what led to it, says that the system has no more of, or nothing."""
    seen: BaseException | None = error
    while seen is not None:
        if found := _lack(seen):
            return found
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return ""


def _lack(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno in NUMBERS:
        return NUMBERS[error.errno]
    said = str(error).lower()
    return next((lack for words, lack in WORDS.items() if words in said), "")
