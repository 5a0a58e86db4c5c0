"""The memory of this machine that may be had: what is free, within the limits set for this process. Imports no torch.

A container, a batch job or a shell may allow less than the machine has. Whoever takes more is killed without a word, so
every limit that can be read is heeded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

ROOT = Path("/")
Files = tuple[tuple[str, ...], str, str]
#: The files of a control group that hold its limits, what it uses, and the name of the part of that which the kernel gives
#: back on demand (file pages that were read once).
V2: Files = (("memory.max", "memory.high"), "memory.current", "inactive_file")
V1: Files = (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def free_host_bytes(root: Path = ROOT) -> int:
    """Return the host memory that this process can still have, in bytes.

    Parameters
    ----------
    root : Path
        Where ``/proc`` and the control groups are looked for.
    """
    return max(min([psutil.virtual_memory().available, *(limit - used for limit, used in _limits(root))]), 0)


def total_host_bytes(root: Path = ROOT) -> int:
    """Return the host memory that this process could have if nothing were used, in bytes."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _limits(root))])


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield each limit and what is used of it."""
    with suppress(OSError, ValueError):  # a system without control groups, or with files of another kind
        yield from _group_limits(root)
    own = psutil.Process().memory_info()
    if (job := _job_limit(os.environ)) is not None:
        yield job, own.rss
    if (space := _address_space()) is not None:
        yield space, own.vms


def _group_limits(root: Path) -> Iterator[tuple[int, int]]:
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            kind, files = "cgroup2", V2
        elif "memory" in controllers.split(","):
            kind, files = "cgroup", V1
        else:
            continue
        for group in _groups(root, kind, path):
            yield from _limits_of(group, *files)


def _groups(root: Path, kind: str, path: str) -> Iterator[Path]:
    """Yield the folder of a control group and those of the groups around it, as far as they are mounted."""
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        mount, _, about = line.partition(" - ")
        filesystem, _, options = about.split(" ", 2)
        if filesystem != kind or (kind == "cgroup" and "memory" not in options.split(",")):
            continue
        _, _, _, top, point, *_ = mount.split(" ")
        # In a container the group's own folder may be what is mounted, and the path be one that only the host knows.
        inside = os.path.relpath(path, top)
        inside = "." if inside.startswith("..") else inside
        folder = root / point.replace("\\040", " ").lstrip("/")
        yield from (folder / part for part in (Path(inside), *Path(inside).parents))


def _limits_of(group: Path, limits: tuple[str, ...], usage: str, reclaimable: str) -> Iterator[tuple[int, int]]:
    stated = [text for name in limits if (text := _read(group / name)).isdigit()]  # or "max"
    if not stated or not (used := _read(group / usage)).isdigit():
        return
    statistics = dict(line.split(" ", 1) for line in _read(group / "memory.stat").splitlines())
    for limit in stated:
        yield int(limit), max(int(used) - int(statistics.get(reclaimable, 0)), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _job_limit(environ: Mapping[str, str]) -> int | None:
    """Return what Slurm gives a job on this node, whether or not control groups enforce it."""
    node, cpu = (environ.get(f"SLURM_MEM_PER_{what}", "") for what in ("NODE", "CPU"))
    cpus = environ.get("SLURM_CPUS_ON_NODE") or environ.get("SLURM_CPUS_PER_TASK") or "1"
    if node.isdigit() and int(node):  # 0 is all that the node has
        return int(node) * 2**20
    return int(cpu) * int(cpus) * 2**20 if cpu.isdigit() and int(cpu) and cpus.isdigit() else None


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
