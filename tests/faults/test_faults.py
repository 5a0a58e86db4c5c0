"""A share of all faults that continuous integration can afford, and that those who look for them find them."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.kinds import KINDS as HOSTILE

from .jobs import JOBS, available
from .kinds import KINDS, forbidden
from .planted import WRONGS
from .runner import Runner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the faults are those of systems with signals and forks")
ROOT = Path(__file__).parents[2]
#: Take several seconds each.
LONG = ("workers", "finetune", "inspect", "export", "stack")
#: Of each kind so many jobs, others of each; all of them together have every job but the long ones.
SHARE = 3


def share() -> list[tuple[str, str]]:
    """Return kinds with jobs in turn."""
    left = itertools.cycle(job for job in JOBS if job not in LONG)
    some = {kind: jobs or [next(left) for _ in range(SHARE)] for kind, jobs in KINDS.items()}
    return [(kind, job) for kind, jobs in some.items() for job in jobs[:SHARE]]


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as made:
        yield made


@pytest.mark.parametrize(("kind", "job"), share())
def test_no_fault(kind: str, job: str, runner: Runner) -> None:
    if job not in available():
        pytest.skip(f"needs what {job} needs")
    if reason := forbidden(kind):
        pytest.skip(reason)
    outcome = runner.run(kind, job, 0, 0)
    assert outcome.result in ("right", "refused"), f"--only {kind} --jobs {job}: {outcome.what}: {outcome.about}"


def test_promises_name_what_tries_them() -> None:
    """In the table of SECURITY.md each promise has kinds or files that are there; the documentation has each fault."""
    rows = [
        line.split("|") for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    named = [re.findall("`([^`]+)`", row[3]) for row in rows if "how it is tried" not in row[3]]
    wrong = {name for names in named for name in names if name not in {*KINDS, *HOSTILE} and not (ROOT / name).is_file()}
    assert named
    assert wrong == set()
    page = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []


def test_every_fault_is_found(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.faults.program.LINGERING", 1.0)
    wanted, number = set(WRONGS), 0
    while wanted:
        outcome = runner.run("planted", "planted", 0, number)
        wrong = outcome.what.partition(": ")[2]
        assert outcome.result == WRONGS[wrong], outcome
        wanted.discard(wrong)
        number += 1
