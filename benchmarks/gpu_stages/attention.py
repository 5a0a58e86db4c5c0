"""Which attention kernel torch takes for windows with a bias, whether the others could, and what they take."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from .bench import Bench, Row, ratio, stage
from .networks import DTYPES

BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.MATH]
#: Windows, heads, pixels of a window, channels of a head: of ESC x2 and x4 in the paper's table, ESC-FP, the bundled models.
SHAPES = ((240, 4, 1024, 16), (60, 4, 1024, 16), (16, 4, 1024, 16), (240, 3, 1024, 16), (960, 4, 256, 16))


@stage("attention with a bias: what each kernel says, and takes", 40)
def attention(bench: Bench) -> None:
    for shape in ((2, 2, 64, 16),) if bench.tiny else SHAPES:
        for precision, dtype in DTYPES.items():
            if bench.left() < 1:
                bench.add(note="out of time")
                return
            _one_shape(bench, shape, precision, dtype)
            bench.clean()


def _one_shape(bench: Bench, shape: tuple[int, int, int, int], precision: str, dtype: torch.dtype) -> None:
    windows, heads, length, depth = shape
    # As they come out of the network: views of what one convolution made.
    qkv = torch.randn(windows, length, 3, heads, depth, device=bench.device, dtype=dtype).permute(2, 0, 3, 1, 4)
    mask = torch.randn(1, heads, length, length, device=bench.device, dtype=dtype)
    exact = F.scaled_dot_product_attention(*qkv[:, :4].double(), attn_mask=mask.double())
    dense = qkv.contiguous()
    chosen = SDPBackend(torch._fused_sdp_choice(*qkv, attn_mask=mask)).name if bench.cuda else "CPU"
    runs: dict[str, Callable[[], Tensor]] = {
        "as it is": lambda: F.scaled_dot_product_attention(*qkv, attn_mask=mask),
        "dense q, k, v": lambda: F.scaled_dot_product_attention(*dense, attn_mask=mask),
        "without a bias": lambda: F.scaled_dot_product_attention(*qkv),
    }
    said: dict[str, str] = {}
    for backend in BACKENDS if bench.cuda else ():
        if backend == SDPBackend.MATH and windows * heads * length**2 > 2**28:
            continue  # it would write gigabytes
        runs[backend.name], said[backend.name] = _only(backend, qkv, mask), _refusal(backend, qkv, mask)
    found = bench.time({label: run for label, run in runs.items() if not said.get(label)}, seconds=0.1, most=20)
    for label, run in runs.items():
        row: Row = {"shape": str(shape), "dtype": precision, "kernel": label, "refused": said.get(label, "")}
        row |= found.get(label, {}) | {"against_chosen": ratio(found, label, "as it is")}
        if "ms" in row and label != "without a bias":
            with torch.inference_mode():
                row["error"] = float((run()[:4].double() - exact).abs().max())
        bench.add(**row, chosen=chosen if label == "as it is" else "")


def _only(backend: SDPBackend, qkv: Tensor, mask: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(*qkv, attn_mask=mask)

    return run


def _refusal(backend: SDPBackend, qkv: Tensor, mask: Tensor) -> str:
    """Return why a kernel can't do it; an empty text if it can."""
    with warnings.catch_warnings(record=True) as caught, torch.inference_mode():
        warnings.simplefilter("always")
        try:
            _only(backend, qkv[:, :2], mask)()
            torch.cuda.synchronize()
        except RuntimeError as error:
            reasons = [str(warning.message).split(" (Triggered", 1)[0] for warning in caught]
            return "; ".join([str(error).splitlines()[0], *reasons])[:600]
    return ""
