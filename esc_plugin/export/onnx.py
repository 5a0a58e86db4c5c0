"""ONNX files: standard operators only, for images of any size or of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import EscError
from ..network.conv_attention import ConvAttn
from ..network.window_attention import WindowAttention
from ..version import __version__
from .order import Order
from .portable import PORTABLE, FoldedConvAttn, PortableAttention
from .quantize import reduce_precision
from .quiet import in_short, quiet

if TYPE_CHECKING:
    from onnx import ModelProto

#: Versions of ONNX's operator set that can be written; the first is what the network is traced to.
OPSETS = range(18, 24)
#: Height and width of what the network is traced with where it shall take any.
EXAMPLE = (37, 29)


def convert(order: Order, path: Path) -> None:
    """See `esc_plugin.export.formats.Converter`."""
    if order.opset not in OPSETS:
        raise EscError(f"opset {order.opset!r} can't be written; it must be from {OPSETS[0]} to {OPSETS[-1]}.")
    with quiet():
        proto = _traced(order)
    _tidy(proto, order)
    path.write_bytes(reduce_precision(proto, order).SerializeToString())


def run(path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """See `esc_plugin.export.formats.Converter`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, dict(inputs)), strict=True))


def describe(path: Path, facts: Mapping[str, str]) -> None:
    """See `esc_plugin.export.formats.Converter`."""
    import onnx

    proto = onnx.load(path)
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


class OperatorAttention(PortableAttention):
    """`PortableAttention` as one operator, see `esc_plugin.export.onnx_attention`."""

    def attend(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """See `attend_plainly`."""
        attended: Tensor = torch.ops.esc.attend(qkv, bias, self.window_size)
        return attended


def _traced(order: Order) -> ModelProto:
    from .onnx_attention import TRANSLATIONS

    open_axes = None if order.size else {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    example = order.example(*(order.size or EXAMPLE))
    axes = {name: open_axes if value.ndim == 4 else None for name, value in example.items()}
    try:
        layers = PORTABLE | {WindowAttention: OperatorAttention}
        if order.precision == "float32":  # it was measured in no other
            layers |= {ConvAttn: FoldedConvAttn}
        network = order.network(layers)
        traced = torch.export.export(network, tuple(example.values()), dynamic_shapes=axes, strict=False)
        program = torch.onnx.export(
            traced,
            dynamo=True,
            opset_version=order.opset,
            verbose=False,
            input_names=list(order.inputs),
            output_names=list(order.outputs),
            custom_translation_table=TRANSLATIONS,
            # It takes the 1e-9 that keeps LTE's shares from 0 / 0 for nothing, and drops it.
            optimize=not order.model.any_scale,
        )
    except Exception as error:  # its exporters raise almost anything
        raise EscError(f"torch {torch.__version__} can't export this network: {in_short(error)}") from None
    assert program is not None
    return program.model_proto


def _tidy(proto: ModelProto, order: Order) -> None:
    """Give the graph our names; remove what the exporter notes about this machine's source files."""
    graph, model = proto.graph, order.model
    graph.name = model.name
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    proto.ClearField("metadata_props")
    del graph.value_info[:]  # sizes between the steps, in the tracer's names
    names = order.dimensions(*(order.size or ("height", "width")))
    for value in (*graph.input, *graph.output):
        for axis, name in zip(value.type.tensor_type.shape.dim, names[value.name], strict=True):
            if isinstance(name, str):
                axis.dim_param = name
            else:
                axis.dim_value = name
    proto.producer_name, proto.producer_version = "esc-plugin", __version__
    proto.doc_string = f"{model.name}: (1, 3, H, W) RGB in 0..1 -> {order.scale} times as large, not clipped."
