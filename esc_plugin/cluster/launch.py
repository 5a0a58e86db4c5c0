"""Which of how many processes this one is, as their launcher tells: torchrun, mpirun, srun."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import EscError

#: Names of rank and size by launcher. A launcher that was started by another one comes first, as its numbers are finer.
LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    # Not SLURM_NTASKS: a batch script has that too, and runs once.
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)
#: Names of the rank among the processes of a machine.
LOCAL_RANKS = ("LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID")
#: Where processes meet unless something else is said; PyTorch's own default.
PORT = 29500
#: Jobs of Slurm that share a machine meet at different ports from here on.
SLURM_PORTS = range(20000, 29000)


@dataclass(frozen=True)
class Launch:
    """One of several processes.

    Attributes
    ----------
    rank, size : int
        Which of how many, from 0 on.
    local_rank : int
        Which of those on this machine.
    host, port
        Where they meet: at rank 0.
    """

    rank: int
    size: int
    local_rank: int
    host: str
    port: int


def launched(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return which process this is; None if it was started alone.

    Raises
    ------
    EscError
        If the launcher's variables contradict each other, or don't tell where to meet.
    """
    for names in LAUNCHERS:
        if all(name in environment for name in names):
            rank, size = (_number(environment, name) for name in names)
            break
    else:
        return None
    if size < 2:
        return None
    if not 0 <= rank < size:
        raise EscError(f"{names[0]} must be from 0 to {size - 1}, below {names[1]}, not {rank}.")
    local_rank = next((_number(environment, name) for name in LOCAL_RANKS if name in environment), 0)
    return Launch(rank, size, local_rank, _host(environment, size), _port(environment))


def distributed(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is one of several processes that a launcher has started, such as torchrun, srun or mpirun."""
    return launched(environment) is not None


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise EscError(f"{name} must be a whole number, not {environment[name]!r}.") from None


def _host(environment: Mapping[str, str], size: int) -> str:
    if host := environment.get("MASTER_ADDR"):
        return host
    if nodes := environment.get("SLURM_STEP_NODELIST"):
        return first_host(nodes)
    if environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == str(size):
        return "127.0.0.1"
    raise EscError("MASTER_ADDR must be the name of the machine with rank 0, it isn't set; set MASTER_PORT too.")


def first_host(nodes: str) -> str:
    """Return the first of Slurm's list of machines, such as ``"gpu[003-008,12],big1"``."""
    return re.sub(r"\[([^],-]+)[^]]*\]", r"\1", nodes).partition(",")[0]


def _port(environment: Mapping[str, str]) -> int:
    if "MASTER_PORT" in environment:
        port = _number(environment, "MASTER_PORT")
        if not 0 < port < 2**16:
            raise EscError(f"MASTER_PORT must be from 1 to 65535, not {port}.")
        return port
    if "SLURM_JOB_ID" in environment and "SLURM_STEP_ID" in environment:
        job = 10 * _number(environment, "SLURM_JOB_ID") + _number(environment, "SLURM_STEP_ID")
        return SLURM_PORTS[job % len(SLURM_PORTS)]
    return PORT
