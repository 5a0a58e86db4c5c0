"""Where and in what precision to compute, and the memory that may be had there.

Importing this loads no torch: what is checked before a run, and readers of images, ask only for names and free memory.

A container, a batch job or a shell may allow less memory than the machine has. Whoever takes more is killed without a
word, so every limit that can be read is heeded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache, wraps
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .errors import EscError
from .machine_code import compiler
from .scarce import MORE_MEMORY
from .texts import bytes_words, quoted

if TYPE_CHECKING:
    import torch

#: Names of torch's data types that a network can run in.
PRECISIONS = ("float32", "bfloat16", "float16")
#: Devices that may be left to read host memory after all that they were told to do before. On CUDA, memory that isn't pinned
#: has been copied when the call returns, and of pinned memory torch knows until when it is read.
STREAMED = ("cuda",)
#: Where ``/proc`` and the control groups are.
ROOT = Path("/")
#: Names of files: of limits, of what is used, and of a line of ``memory.stat``.
Files = tuple[tuple[str, ...], str, str]
#: The files of a control group that hold its limits, what it uses, and the name of the part of that which the kernel gives
#: back on demand (file pages that were read once).
V2: Files = (("memory.max", "memory.high"), "memory.current", "inactive_file")
V1: Files = (("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file")


def choose_device(device: str | torch.device) -> torch.device:
    """Return the device that a user means.

    Parameters
    ----------
    device : str or torch.device
        A name of torch's; ``"gpu"`` for the GPU that there is; or ``"auto"`` for that, and the CPU where there is none.

    Raises
    ------
    EscError
        If this torch can't use it.
    """
    import torch

    if device in ("auto", "gpu"):
        found = _gpu() or ("cpu" if device == "auto" else "")
        if not found:
            raise EscError(f"PyTorch {torch.__version__} finds no GPU on this machine; {_why_none()}, or use the CPU.")
        return torch.device(found)
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()  # a device without values, such as "meta", fails here
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        known = "auto, cpu, gpu, cuda, cuda:1 or mps"
        raise EscError(f"can't use device {quoted(device)}, use {known}: {reason}") from None
    return chosen


def _gpu() -> str:
    """Return the GPU that is taken where none is named; empty if there is none."""
    import torch

    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else ""


def _why_none() -> str:
    """Say what a user can do who has a GPU that torch doesn't find."""
    import torch

    if torch.version.cuda or getattr(torch.version, "hip", None) or sys.platform == "darwin":
        return "look whether its driver is installed"
    return "this build of it knows CPUs only: install one for your GPU (pytorch.org says which)"


def choose_dtype(precision: str, device: torch.device, harmless: str = "", bits: int = 32) -> torch.dtype:
    """Return the precision of a run: the one rule for all doors.

    Parameters
    ----------
    precision : {"auto", "float32", "bfloat16", "float16"}
        What the user asked for; anything but ``"auto"`` is what it says.
    device : torch.device
        Where it runs. On others than a CPU the gain hasn't been measured, so that ``"auto"`` is float32.
    harmless : str
        What was measured to cost the model less than 0.01 dB, and less than one of 255 levels in 999 of 1000 pixels.
    bits : int
        Of a value of the image. One with more than 8 bits is for measuring, and shows the difference.

    Raises
    ------
    EscError
        If there is no such precision.
    """
    import torch

    if precision != "auto":
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise EscError(f"unknown precision {quoted(precision)}; known are auto, {', '.join(PRECISIONS)}.")
        dtype: torch.dtype = getattr(torch, precision)
        return dtype
    if harmless != "bfloat16" or bits > 8 or device.type != "cpu":
        return torch.float32
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if supported and supported() else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    """Return the name by which users know a precision."""
    return str(dtype).removeprefix("torch.")


def usable_threads() -> int:
    """Return how many threads computations may use: those that torch has here, or the cores that there are for them."""
    import torch

    return min(torch.get_num_threads(), cores())


def use_threads(count: int) -> None:
    """Let torch use so many threads in this thread; that it has them already costs nothing."""
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


P = ParamSpec("P")
T = TypeVar("T")


def on_its_threads(method: Callable[P, T]) -> Callable[P, T]:
    """Make a method compute on at most as many threads as its object's ``threads`` says, see `limited_threads`."""

    @wraps(method)
    def limited(*args: P.args, **options: P.kwargs) -> T:
        with limited_threads(getattr(args[0], "threads")):  # noqa: B009  # of any class that has it
            return method(*args, **options)

    return limited


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Compute on so many threads at most, in this thread; on all that are of use for 0. The pixels don't depend on it.

    Raises
    ------
    EscError
        If there can't be so many.
    """
    import torch

    before = torch.get_num_threads()
    use_threads(min(checked_threads(count) or before, usable_threads()))
    try:
        yield
    finally:
        use_threads(before)


def checked_threads(count: Any) -> int:
    """Return a limit for threads.

    Raises
    ------
    EscError
        If there can't be so many.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 0:
        raise EscError(f"threads must be 0, for all cores, or how many to compute on, not {quoted(count)}.")
    return int(count)


def instruction_set(device: torch.device) -> str:
    """Return what decides, beside torch's version, which algorithms run on a device: its kind, for people and records."""
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return device.type
    names = [str(torch.backends.cpu.get_cpu_capability()), compiler()]
    return ", ".join(filter(None, names))


def cores(root: Path = ROOT) -> int:
    """Return how many cores this process may use: those it is bound to, or as many as its control group or job has time of.

    Parameters
    ----------
    root : Path
        Where ``/proc`` and the control groups are looked for.
    """
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    job = os.environ.get("SLURM_CPUS_PER_TASK", "")
    given = [int(job)] if job.isdecimal() and int(job) else []
    return max(min([there, *given, *_quotas(root)]), 1)


@cache
def _quotas(root: Path) -> tuple[int, ...]:
    """Return the cores that control groups give time of, a part of one counting as one."""
    with suppress(OSError, ValueError):
        return tuple(_cores_of(group) for group, _ in _groups_for(root, "cpu"))
    return ()


def _cores_of(group: Path) -> int:
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_read(group / f"cpu.cfs_{what}_us") for what in ("quota", "period"))
    limited = quota.isdecimal() and period.isdecimal() and int(period)  # or "max", or -1
    return -(-int(quota) // int(period)) if limited else sys.maxsize


def free_bytes(device: torch.device) -> int:
    """Return the memory that can be had on a device now, in bytes."""
    if device.type == "cuda":
        import torch

        # What torch keeps for later is free too. To give it back first, torch would have to wait for the device.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return free_host_bytes()  # of Apple's and other shared memories too


def total_bytes(device: torch.device) -> int:
    """Return the memory that a device has for this process, in bytes."""
    if device.type == "cuda":
        import torch

        return torch.cuda.get_device_properties(device).total_memory
    return total_host_bytes()


def allowed_bytes(device: torch.device) -> int:
    """Return the most memory of a device that this process is ever given, in bytes: without a limit, `sys.maxsize`."""
    return total_bytes(device) if device.type == "cuda" else min([sys.maxsize, *(limit for limit, _ in _limits(ROOT))])


def put_on(device: torch.device, tensor: torch.Tensor) -> torch.Tensor:
    """Copy a tensor of the host to a device, if it isn't there, and wait only where that is needed."""
    return tensor.to(device, non_blocking=device.type in STREAMED)


@contextmanager
def without_autocast(device: torch.device) -> Iterator[None]:
    """Compute in the precision of the tensors, whatever `torch.autocast` is active around it."""
    import torch

    with ExitStack() as stack:
        for kind in {"cpu", device.type}:
            if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def free_host_bytes(root: Path = ROOT) -> int:
    """Return the host memory that this process can still have, in bytes.

    Parameters
    ----------
    root : Path
        Where ``/proc`` and the control groups are looked for.
    """
    import psutil

    return max(min([psutil.virtual_memory().available, *(limit - used for limit, used in _limits(root))]), 0)


def check_memory(what: str, need: int) -> None:
    """Raise an `EscError` if something needs more host memory than can be had: the system ends who takes it without a word.

    Parameters
    ----------
    what : str
        For the error.
    need : int
        Bytes beyond what the process has.
    """
    if need > (free := free_host_bytes()):
        raise EscError(
            f"{what} needs about {bytes_words(need)} of memory, of which {bytes_words(free)} are free; {MORE_MEMORY}"
        )


def total_host_bytes(root: Path = ROOT) -> int:
    """Return the host memory that this process could have if nothing were used, in bytes."""
    import psutil

    return min([psutil.virtual_memory().total, *(limit for limit, _ in _limits(root))])


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield each limit and what is used of it."""
    with suppress(OSError, ValueError):  # a system without control groups, or with files of another kind
        yield from _group_limits(root)
    for limit, used in (_job_limit(os.environ), "rss"), (_address_space(), "vms"):
        if limit is not None:
            import psutil

            yield limit, getattr(psutil.Process().memory_info(), used)


def _group_limits(root: Path) -> Iterator[tuple[int, int]]:
    for group, files in _groups_for(root, "memory"):
        yield from _limits_of(group, *files)


def _groups_for(root: Path, controller: str) -> Iterator[tuple[Path, Files]]:
    """Yield the folders of the control groups of this process that have a controller, and their files for memory."""
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            kind, files = "cgroup2", V2
        elif controller in controllers.split(","):
            kind, files = "cgroup", V1
        else:
            continue
        for group in _groups(root, kind, path, controller):
            yield group, files


def _groups(root: Path, kind: str, path: str, controller: str) -> Iterator[Path]:
    """Yield the folder of a control group and those of the groups around it, as far as they are mounted."""
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        mount, _, about = line.partition(" - ")
        filesystem, _, options = about.split(" ", 2)
        if filesystem != kind or (kind == "cgroup" and controller not in options.split(",")):
            continue
        _, _, _, top, point, *_ = mount.split(" ")
        # In a container the group's own folder may be what is mounted, and the path be one that only the host knows.
        inside = os.path.relpath(path, top)
        inside = "." if inside.startswith("..") else inside
        folder = root / point.replace("\\040", " ").lstrip("/")
        yield from (folder / part for part in (Path(inside), *Path(inside).parents))


def _limits_of(group: Path, limits: tuple[str, ...], usage: str, reclaimable: str) -> Iterator[tuple[int, int]]:
    stated = [text for name in limits if (text := _read(group / name)).isdecimal()]  # or "max"
    if not stated or not (used := _read(group / usage)).isdecimal():
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
    node, cpu = (environ.get(name, "") for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU"))
    cpus = environ.get("SLURM_CPUS_ON_NODE") or environ.get("SLURM_CPUS_PER_TASK") or "1"
    if node.isdecimal() and int(node):  # 0 is all that the node has
        return int(node) * 2**20
    return int(cpu) * int(cpus) * 2**20 if cpu.isdecimal() and int(cpu) and cpus.isdecimal() else None


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
