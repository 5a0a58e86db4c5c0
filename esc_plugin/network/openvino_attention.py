"""Attention in bfloat16 on a CPU by OpenVINO, where it is installed.

It is the part of the network where torch is furthest from what the machine can do: OpenVINO takes a third of its time. In
float32 it would gain a third too, but loses that again because its threads and torch's wait for each other.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from functools import cache

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

#: Pixels of a window from which on it is faster; for smaller ones it isn't worth the second that its import takes.
LEAST_LENGTH = 32 * 32


def can_attend(matrix: Tensor, depth: int) -> bool:
    """Tell whether `attend` is at hand, and faster, for a bias (n, L, L) and `depth` channels a head. It has no gradient."""
    if matrix.device.type != "cpu" or matrix.dtype != torch.bfloat16 or matrix.shape[1] < LEAST_LENGTH:
        return False
    return (
        not torch.is_grad_enabled() and not torch.compiler.is_compiling() and _kernel(*matrix.shape[:2], depth) is not None
    )


def attend(q: Tensor, k: Tensor, v: Tensor, matrix: Tensor) -> Tensor:
    """Compute softmax(q k^T / sqrt(d) + matrix) v from three (windows, n, L, d) and (n, L, L): (windows, n, L, d)."""
    kernel = _kernel(*q.shape[1:])
    assert kernel is not None
    out = torch.empty(q.shape, dtype=q.dtype)
    inputs = [tensor.contiguous() for tensor in (q, k, v, matrix[None])]  # OpenVINO doesn't keep them alive
    kernel.run(inputs, out)
    return out


class _Kernel:
    """A compiled graph; one thread at a time."""

    def __init__(self, heads: int, length: int, depth: int) -> None:
        self.openvino, operators = (importlib.import_module(name) for name in ("openvino", "openvino.opset13"))
        shapes = [[-1, heads, length, depth]] * 3 + [[1, heads, length, length]]
        inputs = [operators.parameter(shape, self.openvino.Type.bf16) for shape in shapes]
        graph = self.openvino.Model([operators.scaled_dot_product_attention(*inputs)], inputs)
        options = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self.request = self.openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
        self.lock = threading.Lock()

    def run(self, inputs: list[Tensor], out: Tensor) -> None:
        with self.lock:
            for i, tensor in enumerate(inputs):
                self.request.set_input_tensor(i, self._share(tensor))
            self.request.set_output_tensor(0, self._share(out))
            self.request.infer()

    def _share(self, tensor: Tensor) -> object:
        """Wrap the memory of a dense tensor; numpy has no bfloat16, so its bits go as integers."""
        return self.openvino.Tensor(tensor.view(torch.uint16).numpy(), list(tensor.shape), self.openvino.Type.bf16)


@cache
def _kernel(heads: int, length: int, depth: int) -> _Kernel | None:
    if importlib.util.find_spec("openvino") is None:
        return None
    try:
        return _Kernel(heads, length, depth)
    except (ImportError, RuntimeError) as error:  # another version, or a broken one
        logger.warning("OpenVINO can't compute the attention (%s); torch does.", str(error).splitlines()[0])
        return None
