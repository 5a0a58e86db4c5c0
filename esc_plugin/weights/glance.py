"""Whether a file may hold an ESC network, told by its first bytes, for menus of many files. Imports no torch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

#: Both formats begin with the names of the parameters, and the largest known network takes 0.1 MiB for them.
GLANCE_BYTES = 2**18
#: What the names of every dialect contain, and no other architecture's together.
SIGNS = (b"blocks.0.attn.to_qkv.weight", b"blocks.0.convffns.0.dwc.weight", b"blocks.0.ln_out.weight")
KERNELS = (b"plk_filter", b"lk_spatial")


def may_be_esc(path: Path) -> bool:
    """Tell whether a file is worth opening. Nothing of it is parsed, and it is read once as long as it doesn't change."""
    try:
        about = path.stat()
        return _glance(path, about.st_mtime_ns, about.st_size)
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _glance(path: Path, changed: int, size: int) -> bool:
    with path.open("rb") as file:
        names = file.read(GLANCE_BYTES)
    return all(sign in names for sign in SIGNS) and any(kernel in names for kernel in KERNELS)
