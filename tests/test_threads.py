"""How many threads may be used: those that are asked for, within what control groups and jobs give this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from esc_plugin import device
from esc_plugin.device import cores, limited_threads, usable_threads
from esc_plugin.errors import EscError

V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)


def process(root: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("5000 100000\n", 1), ("max 100000\n", 64), ("nonsense", 64), ("", 64)],
)
def test_a_control_group_gives_time_of_some_cores(tmp_path: Path, quota: str, expected: int) -> None:
    process(tmp_path, "0::/pod/box\n", V2, {"sys/fs/cgroup/pod/box/cpu.max": quota})
    assert cores(tmp_path) == expected


def test_the_least_of_nested_groups_counts(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/pod/box/cpu.max": "800000 100000", "sys/fs/cgroup/pod/cpu.max": "300000 100000"}
    assert cores(process(tmp_path, "0::/pod/box\n", V2, files)) == 3


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", 64)])
def test_version_one(tmp_path: Path, quota: str, expected: int) -> None:
    folder = "sys/fs/cgroup/cpu/job"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    assert cores(process(tmp_path, "4:memory:/other\n3:cpu,cpuacct:/job\n", V1, files)) == expected


@pytest.mark.parametrize(("given", "expected"), [("8", 8), ("0", 64), ("many", 64), ("100", 64)])
def test_a_job_gives_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: int) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
    assert cores(tmp_path) == expected


def test_threads_beyond_the_cores_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        for there, limit, expected in ((64, 0, 5), (64, 3, 3), (64, 9, 5), (2, 0, 2), (2, 4, 2), (2, 1, 1)):
            monkeypatch.setattr(device, "cores", lambda there=there: there)
            with limited_threads(limit):
                assert torch.get_num_threads() == usable_threads() == expected
            assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("count", [-3, 1.5, "2", True, None])
def test_a_limit_is_a_whole_number(count: object) -> None:
    with pytest.raises(EscError, match="threads must be 0, for all cores, or how many"), limited_threads(count):  # type: ignore[arg-type]
        pass
