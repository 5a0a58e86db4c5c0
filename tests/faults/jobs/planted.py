"""A job of the program with every fault; not in the list."""

from __future__ import annotations

from ..job import Job


def job() -> Job:
    """Return the job."""
    return Job((), {"in": b"content"}, resumed=("journal",), program="tests.faults.planted:main")
