"""There is little memory: in a control group, as containers and batch jobs have one, or because addresses are limited."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil

from esc_plugin.texts import parse_bytes

from ..group import ended_by_memory, enter, group, place_of
from ..program import Program
from ..stage import Stage
from ..truth import FaultError

MIB = 2**20
#: What a program may have beyond what it shares with the process that it is forked from, which has everything imported:
#: pages that both have count for the group of the other one. It takes about 60 MiB until it knows how large its image is,
#: and whoever has less is ended before it can say a word.
LEAST, PLENTY = 72 * MIB, 600 * MIB


@contextmanager
def fault(stage: Stage) -> Iterator[str]:
    """Give the program between barely enough to say that it isn't enough, and plenty."""
    stage.lay()
    size = round(math.exp(stage.rng.uniform(math.log(LEAST), math.log(PLENTY))))
    ways = ["addresses", "group"] + ["stated"] * ("--memory" in stage.job.arguments)
    way = stage.rng.choice(ways if place_of("memory") else ways[:1])
    if way == "stated":  # what the program was allowed, and what it has before
        stated = stage.job.arguments[stage.job.arguments.index("--memory") + 1]
        size = LEAST + parse_bytes(stated)
    what = f"{size / MIB:.0f} MiB, {way}"
    if way == "addresses":
        _finish(stage, stage.start(partial(limit_addresses, size)), what)
    else:
        with group("memory", _settings(size)) as folder:
            program = stage.start(partial(enter, folder))
            _finish(stage, program, what)
            if ended_by_memory(folder):
                raise FaultError("memory", f"{what}: ended by the kernel: {program.said[-300:]!r}")
    yield what


def limit_addresses(size: int) -> None:
    """Let this process have so many more bytes of addresses than it has."""
    import resource

    limit = psutil.Process().memory_info().vms + size
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _finish(stage: Stage, program: Program, what: str) -> None:
    program.finish(60 + 20 * stage.seconds)  # whose feature maps have to move to the disk is slower
    if alive := program.left():
        raise FaultError("hang", f"{what}: {alive[0]!r} lives on")


def _settings(size: int) -> dict[str, str]:
    """Return the settings of a group, of both versions; what would go into swap counts too."""
    firm = {"memory.swap.max": "0", "memory.max": str(size)}
    return firm | {"memory.limit_in_bytes": str(size), "memory.memsw.limit_in_bytes": str(size)}
