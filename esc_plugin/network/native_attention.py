"""Attention on processors by a kernel that llvmlite compiles at its first use, where it is installed.

Attention is where torch is furthest from what a processor can do: here it takes 0.36 of the time with AVX512, 0.5 with AVX2.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ..machine_code import compiled, compiler

if TYPE_CHECKING:
    from .attention_kernel import Shape

logger = logging.getLogger(__name__)

#: Values of float32 in a register, and the queries that are worked on at once, so that sums stay in registers: by what
#: torch found the processor to have. Of others nothing was measured.
REGISTERS = {"AVX512": (16, 8), "AVX2": (8, 4)}
DTYPES = (torch.float32, torch.bfloat16)

_lock = Lock()


class _Kernel(NamedTuple):
    function: Callable[..., None]
    shape: Shape
    kept: Any  # its memory


def has_kernel(weight: Tensor, window_size: int, depth: int) -> bool:
    """Tell whether there is a kernel.

    Parameters
    ----------
    weight : Tensor
        Of the device and the dtype that queries, keys and values have.
    window_size, depth : int
        Pixels along a window, channels a head.
    """
    return weight.device.type == "cpu" and weight.dtype in DTYPES and bool(_lanes(window_size, depth) and compiler())


def attend(qkv: Tensor, bias: Tensor, factors: Tensor | None = None) -> Tensor:
    """Attend within each window, without gradients.

    Parameters
    ----------
    qkv : Tensor
        (windows, w w, 3, n, d): queries, keys, values, for which `has_kernel`.
    bias, factors : Tensor
        (n, 2 w - 1, 2 w - 1), the table of relative positions; or (n, w w, r) and (n, w w, r), the factors of the bias.

    Returns
    -------
    Tensor
        (windows, w w, n, d).
    """
    windows, length, _, heads, depth = qkv.shape
    window_size, rank = round(length**0.5), 0 if factors is None else bias.shape[-1]
    kernel = _kernel(heads, window_size, depth, rank, qkv.dtype == torch.bfloat16)
    out = torch.empty(windows, length, heads, depth, dtype=qkv.dtype)
    qkv, bias = qkv.contiguous(), bias.float().contiguous()
    factors = bias if factors is None else factors.float().contiguous()

    def work(part: tuple[Tensor, Tensor]) -> None:
        scratch = torch.empty(kernel.shape.scratch)
        tensors = part[0], bias, factors, part[1], scratch
        kernel.function(*(tensor.data_ptr() for tensor in tensors), len(part[0]))

    threads = min(torch.get_num_threads(), windows)
    parts = list(zip(qkv.tensor_split(threads), out.tensor_split(threads), strict=True))
    if threads == 1:
        work(parts[0])
    else:
        with ThreadPoolExecutor(threads, "esc-attention") as pool:
            list(pool.map(work, parts))
    return out


def _lanes(window_size: int, depth: int) -> int:
    """Return how many values a kernel works on at once, 0 if there is none."""
    most, _ = REGISTERS.get(torch.backends.cpu.get_cpu_capability(), (0, 0))
    return next((n for n in (16, 8) if n <= most and window_size % n == 0 and depth % n == 0), 0)


def _kernel(*shape: int) -> _Kernel:
    with _lock:  # nobody compiles what another thread is compiling
        return _compiled(*shape)


@cache
def _compiled(heads: int, window_size: int, depth: int, rank: int, half: bool) -> _Kernel:
    """Compile a kernel for this machine, in a tenth of a second."""
    code: Any = importlib.import_module(".attention_kernel", __package__)
    lanes, (_, queries) = _lanes(window_size, depth), REGISTERS[torch.backends.cpu.get_cpu_capability()]
    shape = code.Shape(heads, window_size, depth, rank, half, lanes, queries)
    engine = compiled(code.kernel_code(shape))
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, ctypes.c_int64)
    return _Kernel(kind(engine.get_function_address("attend")), shape, engine)
