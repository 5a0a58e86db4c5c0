"""Which process this is, by what launchers say."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from esc_plugin.cluster.bands import borders
from esc_plugin.cluster.launch import PORT, SLURM_PORTS, Launch, distributed, first_host, launched
from esc_plugin.errors import EscError

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "1234"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "2",
    "SLURM_STEP_NODELIST": "gpu[003-008,12],big1",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
}


def test_every_launcher_is_understood() -> None:
    assert launched(TORCHRUN) == Launch(3, 8, 1, "node1", 1234)
    assert launched(OPEN_MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"}) == Launch(1, 2, 1, "127.0.0.1", PORT)
    assert launched({"PMI_RANK": "1", "PMI_SIZE": "4", "MASTER_ADDR": "a"}) == Launch(1, 4, 0, "a", PORT)
    found = launched(SLURM)
    assert found == Launch(5, 8, 2, "gpu003", found.port if found else 0)
    assert found.port in SLURM_PORTS
    # What was started by another launcher has its own numbers.
    assert launched(SLURM | TORCHRUN) == Launch(3, 8, 1, "node1", 1234)


def test_a_process_that_was_started_alone_is_alone() -> None:
    assert not distributed({})
    assert not distributed(TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1"})
    # A batch script of Slurm runs once, whatever its job asked for.
    assert not distributed({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NODELIST": "a[1-8]"})


def test_two_jobs_of_slurm_on_one_machine_meet_at_different_ports() -> None:
    ports = {launched(SLURM | {"SLURM_JOB_ID": str(job)}).port for job in range(100)}  # type: ignore[union-attr]
    assert len(ports) == 100


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"RANK": "8"}, "RANK must be from 0 to 7, below WORLD_SIZE, not 8."),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE must be a whole number, not 'many'."),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT must be from 1 to 65535, not 99999."),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR must be the name of the machine with rank 0"),
    ],
)
def test_nonsense_is_one_line(change: dict[str, str], line: str) -> None:
    with pytest.raises(EscError, match=re.escape(line)):
        launched(TORCHRUN | change)


@pytest.mark.parametrize(
    ("nodes", "first"), [("a", "a"), ("a,b", "a"), ("a[1-3],b", "a1"), ("r[2,4]n[07-09]", "r2n07"), ("n[1-2]-ib,m", "n1-ib")]
)
def test_the_first_machine_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize("rows", [1, 7, 64])
@pytest.mark.parametrize("height", [1, 63, 64, 500])
def test_bands_are_all_rows_once(height: int, rows: int) -> None:
    for count in (1, 2, 3, 5, 9):
        found = borders(height, count, rows)
        assert len(found) == count + 1
        assert (found[0], found[-1]) == (0, height)
        assert list(found) == sorted(found)
        assert all(row % rows == 0 or row == height for row in found)
        sizes = [bottom - top for top, bottom in pairwise(found)]
        assert max(sizes) <= height / count + rows
