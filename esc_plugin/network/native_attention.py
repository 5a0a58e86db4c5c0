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

from ..device import compiler

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


def has_kernel(weight: Tensor, heads: int, window_size: int, depth: int, rank: int) -> bool:
    """Tell whether there is a kernel.

    Parameters
    ----------
    weight : Tensor
        Of the device and the dtype that queries, keys and values have.
    heads, window_size, depth, rank : int
        Heads, pixels along a window, channels a head, and of the factors of the bias, 0 for a table.
    """
    if weight.device.type != "cpu" or weight.dtype not in DTYPES or not _lanes(window_size, depth) or not compiler():
        return False
    return _kernel(heads, window_size, depth, rank, weight.dtype == torch.bfloat16) is not None


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
    assert kernel is not None
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


def _kernel(*shape: int) -> _Kernel | None:
    with _lock:  # nobody compiles what another thread is compiling
        return _compiled(*shape)


@cache
def _compiled(heads: int, window_size: int, depth: int, rank: int, half: bool) -> _Kernel | None:
    """Compile a kernel for this machine, in a tenth of a second."""
    try:
        llvm: Any = importlib.import_module("llvmlite.binding")
        code: Any = importlib.import_module(".attention_kernel", __package__)
        lanes, (_, queries) = _lanes(window_size, depth), REGISTERS[torch.backends.cpu.get_cpu_capability()]
        shape = code.Shape(heads, window_size, depth, rank, half, lanes, queries)
        engine = _engine(llvm, code.kernel_code(shape))
    except (ImportError, OSError, RuntimeError, AttributeError) as error:  # another version, or a broken one
        logger.warning("llvmlite can't compile the attention (%s); torch computes it.", str(error).splitlines()[0])
        return None
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 5, ctypes.c_int64)
    return _Kernel(kind(engine.get_function_address("attend")), shape, engine)


def _engine(llvm: Any, code: str) -> Any:
    """Let llvmlite make machine code of a program, for this processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # LLVM thinks registers of 512 bits too slow for the first processors that had them.
    features = llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit"
    machine = llvm.Target.from_default_triple().create_target_machine(llvm.get_host_cpu_name(), features, opt=3)
    module = llvm.parse_assembly(code)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return engine
