"""Programs that llvmlite makes machine code of, for this processor."""

from __future__ import annotations

import importlib
import logging
import mmap
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .scarce import lack_behind

logger = logging.getLogger(__name__)

#: What whoever can compile anything can compile.
TRIAL = "define void @attend() { ret void }"
#: Bytes that LLVM asks the system for, at most, beside those for each byte of a program; twice what was measured of kernels
#: with 1 to 16 heads (llvmlite 0.50).
ROOM, ROOM_PER_BYTE = 2**24, 64


@cache
def compiler() -> str:
    """Return the name of what compiles programs here, with its version, or nothing.

    An llvmlite that is broken counts as none: records, which name it because results round otherwise without it, must tell
    what ran.

    Raises
    ------
    MemoryError
        If there is no memory to load it: how much there is must not decide about pixels.
    """
    try:
        name = f"llvmlite {version('llvmlite')}"
        compiled(TRIAL)
    except PackageNotFoundError:
        return ""
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        if lack_behind(error) == "memory":  # not in what llvmlite says itself
            raise MemoryError(why) from None
        logger.warning("llvmlite can't compile the attention (%s); torch computes it.", why)
        return ""
    return name


def compiled(code: str) -> Any:
    """Compile a program in LLVM's language; the engine that is returned gives addresses of functions, and keeps them.

    Raises
    ------
    ImportError, OSError, RuntimeError, AttributeError
        If llvmlite can't.
    MemoryError
        If there isn't enough memory.
    """
    llvm: Any = importlib.import_module("llvmlite.binding")
    _check_room(ROOM + ROOM_PER_BYTE * len(code))
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


def _check_room(size: int) -> None:
    """Raise a `MemoryError` unless the system gives so many bytes: LLVM ends the whole process where it gets none."""
    try:
        mmap.mmap(-1, size).close()
    except OSError:
        raise MemoryError(f"there are no {size / 2**20:.0f} MiB of memory to compile the attention in") from None
