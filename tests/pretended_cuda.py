"""Run a script as if the processor were a GPU: ``python -m tests.pretended_cuda SCRIPT ARGUMENT...``.

What is asked of torch.cuda is answered, so that lines which are only for GPUs run, and name what exists. Tensors stay on
the CPU, and figures of time and memory mean nothing.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F

MEMORY = {"memory_allocated": 2**20, "memory_reserved": 2**21, "max_memory_allocated": 2**24, "max_memory_reserved": 2**25}
PROPERTIES = {"name": "pretended", "major": 9, "minor": 0, "multi_processor_count": 1, "total_memory": 2**40}


class Event:
    def __init__(self, enable_timing: bool = False) -> None:
        self.at = 0.0

    def record(self) -> None:
        self.at = time.perf_counter()

    def synchronize(self) -> None: ...

    def elapsed_time(self, other: Event) -> float:
        return (other.at - self.at) * 1e3


class Stream:
    def wait_stream(self, other: Stream) -> None: ...


class Graph:
    """Captures nothing: its output stays as it was made."""

    def replay(self) -> None: ...


def answers() -> dict[str, Any]:
    """Return what stands in for functions of torch.cuda."""
    nothing: Any = lambda *arguments: None  # noqa: E731
    return {
        **{name: lambda *device, value=value: value for name, value in MEMORY.items()},
        **dict.fromkeys(
            ("synchronize", "empty_cache", "reset_peak_memory_stats", "set_per_process_memory_fraction"), nothing
        ),
        "current_device": lambda: 0,
        "mem_get_info": lambda *device: (2**33, 2**34),
        "memory_stats": lambda *device: {"num_ooms": 0},
        "get_device_properties": lambda *device: SimpleNamespace(**PROPERTIES),
        "current_stream": Stream,
        "stream": lambda stream: contextlib.nullcontext(),
        "graph": lambda graph: contextlib.nullcontext(),
        **{"Event": Event, "Stream": Stream, "CUDAGraph": Graph},
    }


def pretend() -> None:
    """Answer from here on, in this process."""
    for name, value in answers().items():
        setattr(torch.cuda, name, value)
    empty = torch.empty
    torch.empty = lambda *size, pin_memory=False, **options: empty(*size, **options)
    torch.Tensor.pin_memory = lambda tensor: tensor
    torch.compile = lambda function, **options: function  # a compiler takes minutes
    from gpu_stages import training
    from gpu_stages.bench import Bench

    training.KERNEL = lambda q, k, v, bias, log_sum: (F.scaled_dot_product_attention(q, k, v, attn_mask=bias),)

    patch.object(Bench, "cuda", True).start()


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    sys.path.insert(0, sys.argv[0].rpartition("/")[0])
    pretend()
    runpy.run_path(sys.argv[0], run_name="__main__")
