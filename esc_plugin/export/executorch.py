"""ExecuTorch's files (``.pte``), for Android, iOS and small devices: by its XNNPACK delegate, on processors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ..errors import EscError
from .graph import graph_of
from .order import Order
from .quiet import in_short, quiet


def convert(order: Order, path: Path) -> None:
    """See `esc_plugin.export.formats.Converter`.

    The facts are methods of the file that return them: it has no other place, and none that is filled later.
    """
    assert order.size is not None
    with quiet(compiled_parts=True):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = graph_of(order, *order.size)
        try:
            lowered = to_edge_transform_and_lower(
                program, partitioner=[XnnpackPartitioner()], constant_methods=order.facts()
            )
            content = lowered.to_executorch().buffer
        except Exception as error:  # it raises almost anything
            raise EscError(f"ExecuTorch can't convert this network: {in_short(error)}") from None
    path.write_bytes(content)


def run(path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """See `esc_plugin.export.formats.Converter`."""
    with quiet(compiled_parts=True):
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(threads)  # unsafe while something runs

        program = Runtime.get().load_program(path)  # a method needs it as long as it lives
        method = program.load_method("forward")
        if method is None:
            raise EscError(f"{str(path)!r} can't be run: it has no method 'forward'.")
        # The order of its arguments is all that a file knows of them.
        found = method.execute([torch.from_numpy(np.ascontiguousarray(value)) for value in inputs.values()])
    names = ("upscaled", "found")[: len(found)]
    return {name: value.numpy().copy() for name, value in zip(names, found, strict=True)}


def describe(path: Path, facts: Mapping[str, str]) -> None:
    """See `esc_plugin.export.formats.Converter`; `convert` has done it."""
