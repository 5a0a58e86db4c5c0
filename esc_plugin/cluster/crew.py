"""Who does pieces of work that don't depend on each other: this process, processes beside it, or a cluster of dask."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pkgutil import resolve_name
from typing import Any, TypeVar
from uuid import uuid4

from ..arrays.parcel import Parcel
from ..device import cores, free_host_bytes, instruction_set
from ..errors import EscError, StoreError, needs
from ..progress import Cancel, stop_if_asked
from ..version import __version__
from ..workplace import scratch_folder

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
#: ``crew(function, items)`` calls the function for each, in any order, and yields each with what went wrong, in one line, or
#: an empty text. What the functions return is not fetched.
Crew = Callable[[Callable[[Item], Any], Iterable[Item]], Iterator[tuple[Item, str]]]

#: Replaces workers that died, and returns how many.
Tend = Callable[[], int]

#: So many workers may die while not a single piece of work gets done.
DEATHS = 20
#: How long dask waits for a process that was killed and is started again, before it gives it up. On a busy machine its own
#: 15 seconds aren't enough to load torch.
LOST = "5 minutes"
#: Seconds between two looks at what is done.
WAIT = 0.05
#: Seconds after which a scheduler that doesn't answer isn't there.
PATIENCE = 30
#: How many threads libraries take, by what reads it.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextmanager
def crew(workers: int = 1, scheduler: str | None = None, cancel: Cancel | None = None) -> Iterator[Crew[Any]]:
    """Give a crew.

    Parameters
    ----------
    workers : int
        Processes on this machine; 1 is this one, and dask isn't needed then.
    scheduler : str, optional
        Address of a scheduler of dask, such as ``"tcp://node7:8786"``, whose workers are taken instead.
    cancel : callable, optional
        Once it returns ``True``, nothing more is begun, and the crew raises `Cancelled`.

    Raises
    ------
    EscError
        If the scheduler can't be reached, or its workers lack this version of this package. The crew raises it when the
        scheduler is lost, and a `StoreError` of a function's: all that is left would fail in that way.
    """
    if scheduler is None and workers == 1:
        yield lambda function, items: _here(function, items, cancel)
        return
    needs("cluster")
    with _connected(scheduler) if scheduler else _local(workers) as (client, tend):
        yield lambda function, items: _there(client, tend, function, items, cancel)


def _here(function: Callable[[Item], Any], items: Iterable[Item], cancel: Cancel | None) -> Iterator[tuple[Item, str]]:
    for item in items:
        stop_if_asked(cancel)
        yield item, _outcome(function, item)


def _outcome(function: Callable[[Item], Any], item: Item) -> str:
    try:
        function(item)
    except StoreError:
        raise
    except Exception as error:  # of readers, file systems and stores too, each of which has errors of its own
        return line_of(error)
    return ""


def line_of(error: BaseException) -> str:
    """Return what an error says as one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, EscError) and text else f"{type(error).__name__}: {text}".rstrip(": ")


@contextmanager
def _local(workers: int) -> Iterator[tuple[Any, Tend]]:
    """Start processes on this machine that share its cores and its free memory."""
    import dask
    from distributed import Client, LocalCluster

    # What the user has set for his libraries is left as it is.
    settings: dict[str, Any] = {
        f"distributed.nanny.pre-spawn-environ.{name}": max(cores() // workers, 1) for name in THREADS
    }
    settings["distributed.deploy.lost-worker-timeout"] = LOST
    with (
        scratch_folder() as folder,
        dask.config.set(settings | {"temporary-directory": str(folder)}),  # the scheduler's too
        _quiet("tornado", "asyncio"),  # what they say of a lack of file handles are stacks
        ExitStack() as stack,
    ):
        stack.callback(_forget_ended)
        try:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=free_host_bytes() // workers,
                    dashboard_address="127.0.0.1:0",  # dask's own port may be taken, for which it would warn
                    silence_logs=logging.CRITICAL,
                )
            )
            client = stack.enter_context(Client(cluster, set_as_default=False))
        except (OSError, RuntimeError) as error:  # a system that gives no more memory, handles or processes
            raise EscError(
                f"can't start {workers} processes on this machine: {line_of(error)}; use fewer --workers, or none."
            ) from None
        yield client, lambda: _replace_dead(cluster, workers)


def _forget_ended() -> None:
    """Let go of schedulers that have ended: a method of each, in a cache of distributed's own, would hold all of it."""
    from distributed import core

    if clear := getattr(getattr(core, "_expects_comm", None), "cache_clear", None):
        clear()


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Let loggers say only what is critical."""
    before = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    try:
        for log in before:
            log.setLevel(logging.CRITICAL)
        yield
    finally:
        for log, level in before.items():
            log.setLevel(level)


def _replace_dead(cluster: Any, workers: int) -> int:
    """Start others for the processes that dask has given up; return how many ended by themselves."""
    from distributed.core import Status

    dead = [name for name, nanny in list(cluster.workers.items()) if nanny.status in (Status.closed, Status.failed)]
    for name in dead:
        cluster.workers.pop(name, None)
    if len(cluster.workers) < workers:
        cluster.scale(workers)  # does nothing for those that are being started
    return len(dead)


@contextmanager
def _connected(scheduler: str) -> Iterator[tuple[Any, Tend]]:
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise EscError(f"can't reach the scheduler {scheduler!r}: {line_of(error)}.") from None
    with silence_logging_cmgr(logging.CRITICAL), client:  # of a lost scheduler it would print stacks
        _check_workers(client, scheduler)
        yield client, lambda: 0  # whoever started them looks after them


def _check_workers(client: Any, scheduler: str) -> None:
    """Raise an `EscError` unless all workers have this version; those that come later are asked with each task."""
    versions = client.run(resolve_name, f"{__package__.partition('.')[0]}.version:__version__", on_error="return")
    for worker, version in versions.items():
        where = f"the worker {worker} of {scheduler!r}"
        if isinstance(version, BaseException):
            raise EscError(f"{where} can't import esc_plugin ({line_of(version)}); install it there.")
        if version != __version__:
            raise EscError(f"{where} has esc_plugin {version}, not {__version__}; install that there.")
    kinds = sorted(set(client.run(_kind).values()))
    if len(kinds) > 1:
        logger.warning("the workers differ (%s): their pixels may differ in the last bits.", "; ".join(kinds))


def _kind() -> str:
    """Return what decides about the last bits on a CPU."""
    import torch

    return f"torch {torch.__version__}, {instruction_set(torch.device('cpu'))}"


def _there(
    client: Any, tend: Tend, function: Callable[[Item], Any], items: Iterable[Item], cancel: Cancel | None
) -> Iterator[tuple[Item, str]]:
    died, in_vain = [], 0
    for item, result in _results(client, tend, function, list(items), cancel):
        if _deaths(result):
            died.append(item)
        else:
            yield item, _line(result)
    # Dask gives up whatever four workers had before them as they died, also if they were taken away, or by what else they
    # had. What kills them itself does so alone, too.
    for item in died:
        for _, result in _results(client, tend, function, [item], cancel):
            deaths = _deaths(result)
            yield item, f"{deaths} workers died over it; is there memory for so many?" if deaths else _line(result)
            in_vain = in_vain + deaths if deaths else 0
        if in_vain > DEATHS:
            raise EscError("all workers die over their work; is there memory for so many?")


def _results(
    client: Any, tend: Tend, function: Callable[[Item], Any], items: Sequence[Item], cancel: Cancel | None
) -> Iterator[tuple[Item, Any]]:
    """Yield what dask says of each."""
    from distributed import as_completed

    if not items:
        return
    name, died = uuid4().hex, 0
    # Not scattered: what is scattered is lost with the worker that has it, a task is done again.
    shared = client.submit(_same, Parcel(function), key=f"work-{name}", pure=False)
    keys = [f"piece-{name}-{i}" for i in range(len(items))]
    futures = client.map(_call, items, key=keys, shared=shared, version=__version__)
    waiting = dict(zip(keys, items, strict=True))
    finished = as_completed(futures, loop=client.loop, with_results=True, raise_errors=False)
    del futures  # so that each is forgotten when it is done
    try:
        while waiting:
            stop_if_asked(cancel)
            if batch := finished.next_batch(block=False):
                died = 0
            elif (died := died + tend()) > DEATHS:
                raise EscError("the worker processes die as soon as they start; is there memory for so many?")
            else:
                time.sleep(WAIT)
            for future, result in batch:
                yield waiting.pop(future.key), result
    finally:
        client.cancel(list(finished.futures))


def _error(result: Any) -> Any:
    """Return what dask says in place of what a task returns."""
    return result[1] if isinstance(result, tuple) else result


def _deaths(result: Any) -> int:
    """Return how many workers died over a piece, if dask has given it up for that; else 0."""
    from distributed import KilledWorker

    error = _error(result)
    return error.allowed_failures + 1 if isinstance(error, KilledWorker) else 0


def _line(result: Any) -> str:
    """Return what a task says, or what dask says in its place."""
    if isinstance(result, CancelledError):
        raise EscError("lost the scheduler; what is done stays done, run the same again to go on.")
    error = _error(result)
    if isinstance(error, StoreError):
        raise error
    return line_of(error) if isinstance(error, BaseException) else str(error)


def _same(parcel: Parcel) -> Parcel:
    return parcel


def _call(item: Any, shared: Parcel, version: str) -> str:
    if version != __version__:
        return f"a worker has esc_plugin {__version__}, not {version}; install that there."
    return _outcome(shared.value, item)
