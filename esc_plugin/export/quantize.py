"""Smaller numbers for ONNX files: float16, and eight bits with ranges that are measured on pictures.

What couples distant pixels stays in float32: the means over the whole image and the dynamic kernels made of them, the sums
of softmax and norms. So does what the eye sees directly: the last addition, and, of eight bits, the convolutions outside of
the blocks and those that read the sum of all layers so far, whose range is wide: they lose most and take little time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays.layout import layout_of
from ..arrays.levels import measure_levels
from ..batch.find import find_originals
from ..measure.photo import DEPTHS, read_photo
from ..workplace import scratch_folder
from .quiet import quiet

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from .order import Order

#: Of pictures: how many are looked at, spread over all that there are, and the edge in pixels of what is cut from the middle
#: of each.
MOST_PICTURES, EDGE = 24, 128
#: Operators that add up many numbers.
SUMS = ("LayerNormalization", "ReduceMean", "ReduceSum", "Softmax")
#: Weights of convolutions in eight bits: those of blocks, but for the last ones and the first of feed-forward parts.
EIGHT = re.compile(r"^(lk_|blocks\.)(?!.*\.(conv_out|proj)\.weight$)")
#: Added to names by the module that is exported.
PREFIX = "network."


def reduce_precision(proto: ModelProto, order: Order) -> ModelProto:
    """Return a graph that computes in ``order.precision``; its inputs and outputs stay float32.

    Raises
    ------
    ImageError
        If a picture to measure the ranges of eight bits with can't be read.
    """
    if order.precision == "float16":
        return to_float16(proto)
    if order.precision == "int8":
        return to_int8(proto, calibration_inputs(proto, order))
    return proto


def pictures_in(folder: str | Path) -> tuple[Path, ...]:
    """List the pictures to measure the ranges of eight bits with: a few dozen of the kind that will be upscaled.

    Raises
    ------
    ImageError
        If there is no such folder, or no picture in it but results of this program.
    """
    return tuple(find_originals([folder]))


def to_float16(proto: ModelProto) -> ModelProto:
    """Return a graph that keeps its weights in float16 and computes in it, but for what the module says."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with quiet():
        found: ModelProto = convert_float_to_float16(
            proto,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *SUMS],
            node_block_list=_exact_nodes(proto),
        )
    _forget_rounding(found)
    return _tidied(found)


def to_int8(proto: ModelProto, inputs: Iterable[Mapping[str, np.ndarray]]) -> ModelProto:
    """Return a graph whose blocks convolve in eight bits: weights by output channel, maps by the range that inputs show."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    producer = proto.producer_name, proto.producer_version
    with quiet(), scratch_folder() as folder:
        path = folder / "int8.onnx"
        quantize_static(
            proto,
            path,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=_block_convolutions(proto),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        found = _load(path)
    found.producer_name, found.producer_version = producer
    return _tidied(found)


def calibration_inputs(proto: ModelProto, order: Order) -> Iterator[dict[str, np.ndarray]]:
    """Return what the graph takes, for each of some of the pictures; the means of the form "regions" are the crop's own."""
    # It is made here: who asks for the inputs may have moved the weights out of the graph by then.
    return _inputs(order, _session(proto) if order.form == "regions" else None)


def _inputs(order: Order, session: Any) -> Iterator[dict[str, np.ndarray]]:
    for path in order.pictures[:: ceil(len(order.pictures) / MOST_PICTURES)]:
        image = _cut(_unit(path), order.size or (EDGE, EDGE), exactly=order.size is not None)
        inputs = {"image": image.transpose(2, 0, 1)[None]}
        yield inputs if session is None else _settled(session, inputs, order.means)


def _unit(path: Path) -> np.ndarray:
    """Return a picture as networks see it, (H, W, 3) in 0..1, float32."""
    pixels = read_photo(path, DEPTHS)
    if pixels.ndim == 3:
        pixels = pixels[..., :3]
    axes = "YXS" if pixels.ndim == 3 else "YX"
    unit = measure_levels(pixels, layout_of(pixels, axes))[0].to_unit(pixels)
    return unit if unit.ndim == 3 else unit[..., None].repeat(3, 2)


def _cut(image: np.ndarray, size: tuple[int, int], exactly: bool) -> np.ndarray:
    """Cut at most `size` from the middle, or so much of what is mirrored at its borders."""
    if exactly:
        missing = [(0, max(wanted - length, 0)) for wanted, length in zip(size, image.shape, strict=False)]
        image = np.pad(image, [*missing, (0, 0)], "symmetric")
    top, left = (max(length - wanted, 0) // 2 for wanted, length in zip(size, image.shape, strict=False))
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])


def _settled(session: Any, inputs: dict[str, np.ndarray], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Add the means that a crop has by itself: those of a layer depend only on those before."""
    inputs["interior"] = np.ones_like(inputs["image"][:, :1])
    inputs["means"], found = np.zeros(shape, np.float32), None
    for _ in range(shape[0] + 1):
        (found,) = session.run(["found"], inputs)
        if np.allclose(found, inputs["means"], rtol=0, atol=1e-4):
            break
        inputs["means"] = found
    return inputs


class _Reader:
    """Inputs, as ONNX Runtime asks for them."""

    def __init__(self, inputs: Iterable[Mapping[str, np.ndarray]]) -> None:
        self.inputs = iter(inputs)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self.inputs, None)


def _block_convolutions(proto: ModelProto) -> list[str]:
    """Name the convolutions of the blocks whose weights are constant: the dynamic kernels' are not."""
    constant = {value.name for value in proto.graph.initializer}
    weights = {node.name: node.input[1] for node in proto.graph.node if node.op_type == "Conv"}
    return [node for node, weight in weights.items() if weight in constant and EIGHT.match(weight.removeprefix(PREFIX))]


def _exact_nodes(proto: ModelProto) -> list[str]:
    """Name the nodes from a map to its means, from there to dynamic kernels, and those after the last convolution.

    A sum over an image soon is more than float16 can hold.
    """
    graph = proto.graph
    constant = {value.name for value in graph.initializer}
    kernels = [node.input[1] for node in graph.node if node.op_type == "Conv" and node.input[1] not in constant]
    outputs = [value.name for value in graph.output]
    return _upstream(graph.node, kernels + outputs)


def _upstream(nodes: Iterable[NodeProto], values: Sequence[str]) -> list[str]:
    """Name the nodes that values are made by, back to convolutions."""
    maker = {output: node for node in nodes for output in node.output}
    names, todo = dict[str, None](), list(values)
    while todo:
        node = maker.get(todo.pop())
        if node and node.name not in names and node.op_type != "Conv":
            names[node.name] = None
            todo += node.input
    return list(names)


def _forget_rounding(proto: ModelProto) -> None:
    """Where float32 is rounded to float16 only to become float32 again, take it as it was."""
    from onnx import TensorProto

    casts = {node.output[0]: node for node in proto.graph.node if node.op_type == "Cast"}
    for node in casts.values():
        before = casts.get(node.input[0])
        if before and before.attribute[0].i == TensorProto.FLOAT16 and node.attribute[0].i == TensorProto.FLOAT:
            node.op_type, node.input[0] = "Identity", before.input[0]
            del node.attribute[:]


def _tidied(proto: ModelProto) -> ModelProto:
    """Return the graph with its nodes in the order in which they run, and none that nothing asks for."""
    import onnx_ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

    del proto.graph.value_info[:]
    model = onnx_ir.serde.deserialize_model(proto)
    for step in (RemoveUnusedNodesPass(), TopologicalSortPass()):
        step(model)
    return onnx_ir.serde.serialize_model(model)


def _session(proto: ModelProto) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def _load(path: Path) -> ModelProto:
    import onnx

    return onnx.load(path)
