"""One of several processes that make a picture; what it meets with on its way is up to its arguments.

Usage: exact_worker.py RESULT.npy JOURNAL TIMEOUT [RANK:SUM:raise|kill|hang|interrupt]
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from esc_plugin.cluster.exact import Group, distributed, joined, run_exact
from esc_plugin.errors import EscError
from tests.test_exact import CASES, deep_upscaler


def meet(group: Group, sums: int, fate: str) -> None:
    """Let a process meet its fate instead of a sum."""
    left, add = iter(range(sums)), group.sum

    def fated(values: torch.Tensor) -> torch.Tensor:
        if next(left, None) is None and not group.lost:
            if fate == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if fate == "hang":
                time.sleep(600)
            if fate == "interrupt":
                signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs tests in the background ignores it
                signal.raise_signal(signal.SIGINT)
            raise OSError(5, "chunk 7 can't be read")
        return add(values)

    group.sum = fated


def main() -> None:
    result, journal, timeout, *fates = sys.argv[1:]
    image, options = CASES["a stack"]
    upscaler = deep_upscaler()
    request = upscaler.request(image, **options)
    out = np.load(result, mmap_mode="r+")

    def write(index: Any, region: Any, values: np.ndarray) -> None:
        out[index][region.slices] = values
        out.flush()

    with joined(float(timeout)) as group:
        assert distributed() == (group.size > 1)
        for fate in fates:
            rank, sums, what = fate.split(":")
            if int(rank) == group.rank:
                meet(group, int(sums), what)
        survey = run_exact(upscaler, image, request, group, write=write, journal=journal)
    print("survey", survey.digest, flush=True)


if __name__ == "__main__":
    try:
        main()
    except EscError as error:
        print("error:", error, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("cancelled", flush=True)
        sys.exit(130)
