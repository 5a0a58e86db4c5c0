"""Networks as ONNX files, for other runtimes: any batch and size, standard operators only, checked before they are kept."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..disk import replacing
from ..errors import EscError, needs
from ..network import ESC, EscConfig
from ..version import __version__
from ..weights.model import Model
from ..weights.write import config_json
from .portable import portable

if TYPE_CHECKING:
    from onnx import ModelProto

#: Versions of ONNX's operator set that can be written; the first is what the network is traced to.
OPSETS = range(18, 24)
#: Largest difference to torch, in units of the image's 0..1, that the check lets pass.
LIMIT = 1e-4
INPUT, OUTPUT = "image", "upscaled"
AXES = ("batch", "channel", "height", "width")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path : Path
        Of the file.
    opset : int
        Version of the operator set.
    errors : dict
        By the shape (B, 3, H, W) of a random image: the largest difference between ONNX Runtime and torch, of values in
        0..1. Empty if nothing was checked.
    """

    path: Path
    opset: int
    errors: dict[tuple[int, ...], float]


def export_onnx(
    model: Model, path: str | Path, *, opset: int = OPSETS[0], size: tuple[int, int] | None = None, check: bool = True
) -> Exported:
    """Write a model as an ONNX file.

    Its input ``"image"`` is (B, 3, H, W), RGB in 0..1, float32; its output ``"upscaled"`` is (B, 3, scale H, scale W), not
    clipped. The metadata holds name, scale, configuration, and licence and source as far as they are known.

    Parameters
    ----------
    path : path
        Ends in ``.onnx``. A file that is there is replaced, once the new one is whole and checked.
    opset : int
        Version of ONNX's operator set, see `OPSETS`.
    size : tuple of int, optional
        Height and width of the only image that the file takes, one at a time, for runtimes that need that. By default any
        batch, height and width from 1 on.
    check : bool
        Run the file in ONNX Runtime and compare with torch.

    Raises
    ------
    EscError
        If a package is missing, the model or an argument doesn't allow it, or the check fails; then nothing is written.
    """
    path = Path(path)
    _refuse(model, path, opset, size)
    needs("export")
    with _quiet():
        proto = _trace(portable(model.network), opset, size)
    _describe(proto, model)
    errors: dict[tuple[int, ...], float] = {}
    try:
        with replacing(path) as beside:
            beside.write_bytes(proto.SerializeToString())
            if check:
                errors = compare_with_torch(beside, model.network, _shapes(model.config, size))
                worst = max(errors.values())
                if not worst < LIMIT:  # NaN is no agreement either
                    raise EscError(
                        f"ONNX Runtime and torch differ by {worst:.2g} for {model.name!r}, more than {LIMIT:g}; "
                        "nothing was written."
                    )
    except OSError as error:
        raise EscError(f"can't write {str(path)!r}: {error.strerror or error}.") from None
    return Exported(path, opset, errors)


def compare_with_torch(path: Path, network: ESC, shapes: list[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
    """Run random images through an ONNX file and the network it was made of; return the largest difference by shape."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what goes wrong is raised
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(0)
    errors = {}
    for shape in shapes:
        image = torch.rand(shape, generator=random)
        (found,) = session.run([OUTPUT], {INPUT: image.numpy()})
        with torch.no_grad():
            expected = network(image)
        if found.shape != tuple(expected.shape):
            raise EscError(f"ONNX Runtime makes {found.shape} of an image {shape}, not {tuple(expected.shape)}.")
        errors[shape] = float((torch.from_numpy(found) - expected).abs().max())
    return errors


def _refuse(model: Model, path: Path, opset: int, size: tuple[int, int] | None) -> None:
    if model.any_scale:
        raise EscError(f"{model.name!r} renders any scale (LTE); only networks of a fixed scale can be exported.")
    if path.suffix.lower() != ".onnx":
        raise EscError(f"{str(path)!r} must end in .onnx.")
    if not path.parent.is_dir():
        raise EscError(f"there is no folder {str(path.parent)!r}.")
    if opset not in OPSETS:
        raise EscError(f"opset {opset!r} can't be written; it must be from {OPSETS[0]} to {OPSETS[-1]}.")
    if size is not None and min(size) < 1:
        raise EscError(f"a size must be height and width from 1 on, not {size!r}.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's warnings about itself from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _trace(network: ESC, opset: int, size: tuple[int, int] | None) -> ModelProto:
    # An example with three different sizes, so that none is taken for another; which ones doesn't matter.
    example = torch.rand(1, 3, *size) if size else torch.rand(2, 3, 37, 29)
    free = None if size else (dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC),)
    try:
        traced = torch.export.export(network, (example,), dynamic_shapes=free, strict=False)
        program = torch.onnx.export(
            traced, dynamo=True, opset_version=opset, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
        )
    except Exception as error:  # its exporters raise almost anything
        reason = " ".join(str(error).split())[:300]
        raise EscError(f"torch {torch.__version__} can't export this network: {reason}") from None
    assert program is not None
    return program.model_proto


def _describe(proto: ModelProto, model: Model) -> None:
    """Write what the file is; remove what the exporter notes about this machine's source files."""
    graph = proto.graph
    graph.name = model.name
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    proto.ClearField("metadata_props")
    del graph.value_info[:]  # sizes between the steps, in the tracer's names
    for value, names in (
        (graph.input[0], AXES),
        (graph.output[0], ("batch", "", f"{model.scale}*height", f"{model.scale}*width")),
    ):
        for axis, name in zip(value.type.tensor_type.shape.dim, names, strict=True):
            if axis.HasField("dim_param"):
                axis.dim_param = name
    proto.producer_name, proto.producer_version = "esc-plugin", __version__
    proto.doc_string = f"{model.name}: (B, 3, H, W) RGB in 0..1 -> {model.scale} times as large, not clipped."
    known = {key: value for key, value in model.card.items() if isinstance(value, str)}
    facts = known | {
        "name": model.name,
        "scale": str(model.scale),
        "config": config_json(model.config),
        "sha256": model.sha256,
        "input": json.dumps({"layout": "NCHW", "channels": "RGB", "range": [0, 1]}),
    }
    for key, value in facts.items():
        proto.metadata_props.add(key=key, value=value)


def _shapes(config: EscConfig, size: tuple[int, int] | None) -> list[tuple[int, ...]]:
    """Choose the images of the check: smaller than a window, and larger than one but no multiple of it."""
    if size:
        return [(1, 3, *size)]
    window = config.window_size * config.unshuffle
    return [(2, 3, window + 5, window // 2 + 3), (1, 3, max(window // 3, 1), window + 2)]
