"""Core ML's packages (``.mlpackage``, a folder), for iPhones and Macs. They are written anywhere, and run on a Mac only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EscError
from ..version import __version__
from .graph import graph_of
from .order import Order
from .quiet import in_short, quiet

#: Operators of the means and of what is made of them, which stay in float32: there rounding changes the whole image.
KEPT = frozenset(("reduce_mean", "reduce_sum", "clip", "real_div", "linear"))


def convert(order: Order, path: Path) -> None:
    """See `esc_plugin.export.formats.Converter`."""
    assert order.size is not None
    with quiet(compiled_parts=True):
        import coremltools as ct

        program = graph_of(order, *order.size)
        example = order.example(*order.size)
        inputs = [ct.TensorType(name=name, shape=tuple(value.shape), dtype=np.float32) for name, value in example.items()]
        try:
            model = ct.convert(
                program,
                inputs=inputs,
                outputs=[ct.TensorType(name=name, dtype=np.float32) for name in order.outputs],
                compute_precision=_precision(ct, order.precision),
                minimum_deployment_target=ct.target.iOS16,
                skip_model_load=True,  # no runtime but on a Mac, and none is needed to write
            )
            model.save(str(path))
            for notes in path.glob("*debug_handle*"):
                notes.unlink()
        except Exception as error:  # it raises almost anything
            raise EscError(f"Core ML can't take this network: {in_short(error)}") from None


def _precision(ct: Any, name: str) -> Any:
    if name == "float32":
        return ct.precision.FLOAT32
    return ct.transform.FP16ComputePrecision(op_selector=lambda operation: operation.op_type not in KEPT)


def run(path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """See `esc_plugin.export.formats.Converter`; on a Mac only."""
    with quiet(compiled_parts=True):
        import coremltools as ct

        model = ct.models.MLModel(str(path), compute_units=ct.ComputeUnit.CPU_ONLY)
        found: dict[str, np.ndarray] = model.predict(dict(inputs))
    return found


def describe(path: Path, facts: Mapping[str, str]) -> None:
    """See `esc_plugin.export.formats.Converter`."""
    with quiet(compiled_parts=True):
        import coremltools as ct

        spec: Any = ct.utils.load_spec(str(path))
        about = spec.description.metadata
        about.userDefined.update(facts)
        about.shortDescription = (
            f"{facts['name']}: (1, 3, H, W) RGB in 0..1 -> {facts['scale']} times as large, not clipped."
        )
        about.license, about.versionString = facts.get("license", ""), __version__
        file = next(path.rglob("*.mlmodel"))
        file.write_bytes(spec.SerializeToString())
