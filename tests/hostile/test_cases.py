"""A share of all hostile cases that continuous integration can afford, and that those who look for faults find them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator

import pytest

from .case import FAULTS, REFUSED, RIGHT, Tally, rng_of
from .kinds import KINDS, available, maker
from .runner import Worker, outcomes

#: Of each kind.
COUNT = 60


@pytest.fixture(scope="module")
def tallies() -> Iterator[dict[str, Tally]]:
    """What became of the cases of all kinds, in one process."""
    found = {kind: Tally(kind) for kind in available()}
    for kind, number, outcome in outcomes(list(found), seed=0, count=COUNT):
        found[kind].add(number, outcome)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_no_fault(kind: str, tallies: dict[str, Tally]) -> None:
    if kind not in tallies:
        pytest.skip(f"needs {', '.join(KINDS[kind])}")
    tally = tallies[kind]
    assert [(number, outcome) for number, outcome in tally.faults] == []
    assert tally.cases == COUNT
    assert sum(tally.refused.values()) > 0 or kind == "xmp", "nothing was hostile"
    assert tally.right > 0, "nothing was taken"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak memory of a process alone, and resets it")
def test_every_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.hostile.runner.MOST_SECONDS", 1.0)
    wanted, number = {*FAULTS, RIGHT, REFUSED}, 0
    with Worker(["planted"]) as worker:
        while wanted:
            what = maker("planted")(rng_of("planted", 0, number)).what
            if what in wanted:
                found = worker.run("planted", 0, number)
                assert found.result == what, found
                wanted.remove(what)
            number += 1


def test_a_case_is_made_by_its_seed_alone() -> None:
    for kind in ("png", "tiff", "archive", "manifest"):
        first, again, other = (maker(kind)(rng_of(kind, 5, number)) for number in (7, 7, 8))
        assert (first.what, first.files) == (again.what, again.files)
        assert first.files != other.files


@pytest.mark.filterwarnings("ignore")
def test_parsers_take_what_a_search_begins_with() -> None:
    """The search itself, `guided.py`, needs a package that nobody installs for tests; its targets mustn't fall behind."""
    for package in ("imagecodecs", "zarr", "yaozarrs"):
        pytest.importorskip(package)
    from . import targets

    try:
        for name, (_, good) in targets.TARGETS.items():
            for data in good():
                targets.tried(name, data)
    finally:
        shutil.rmtree(targets.FOLDER)
