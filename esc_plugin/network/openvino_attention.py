"""Attention on a CPU by OpenVINO, where it is installed: the part of the network where torch is furthest from the machine's limits."""

from __future__ import annotations

import logging
import threading
from functools import cache
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

#: OpenVINO's names of what it computes in.
TYPES = {torch.float32: "f32", torch.bfloat16: "bf16"}


def can_attend(qkv: Tensor) -> bool:
    """Tell whether `attend` takes (3, windows, n, L, d): it has no gradient and needs OpenVINO."""
    if qkv.device.type != "cpu" or qkv.dtype not in TYPES or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return _kernel(*qkv.shape[2:], TYPES[qkv.dtype]) is not None


def attend(qkv: Tensor, matrix: Tensor) -> Tensor:
    """Compute softmax(q k^T / sqrt(d) + matrix) v from (3, windows, n, L, d) and (n, L, L): (windows, n, L, d)."""
    kernel = _kernel(*qkv.shape[2:], TYPES[qkv.dtype])
    assert kernel is not None
    qkv = qkv.contiguous()
    out = torch.empty_like(qkv[0])
    kernel.run([*qkv.unbind(0), matrix[None].to(qkv.dtype).contiguous()], out)
    return out


class _Kernel:
    """A compiled graph; one thread at a time."""

    def __init__(self, openvino: Any, heads: int, length: int, depth: int, kind: str) -> None:
        operators, self.openvino, self.kind = openvino.opset13, openvino, getattr(openvino.Type, kind)
        shapes = [[-1, heads, length, depth]] * 3 + [[1, heads, length, length]]
        inputs = [operators.parameter(shape, self.kind) for shape in shapes]
        graph = openvino.Model([operators.scaled_dot_product_attention(*inputs)], inputs)
        options = {"INFERENCE_PRECISION_HINT": kind, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self.request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
        self.lock = threading.Lock()

    def run(self, inputs: list[Tensor], out: Tensor) -> None:
        with self.lock:
            for i, tensor in enumerate(inputs):
                self.request.set_input_tensor(i, self._share(tensor))
            self.request.set_output_tensor(0, self._share(out))
            self.request.infer()

    def _share(self, tensor: Tensor) -> Any:
        """Wrap the memory of a dense tensor; numpy has no bfloat16, so its bits go as integers."""
        bits = tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
        return self.openvino.Tensor(bits.numpy(), list(tensor.shape), self.kind)


@cache
def _kernel(heads: int, length: int, depth: int, kind: str) -> _Kernel | None:
    try:
        import openvino
        import openvino.opset13
    except ImportError:
        return None
    try:
        return _Kernel(openvino, heads, length, depth, kind)
    except RuntimeError as error:
        logger.warning("OpenVINO can't compute the attention (%s); torch does.", str(error).splitlines()[0])
        return None
