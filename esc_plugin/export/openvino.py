"""OpenVINO's files (``.xml`` and ``.bin``), for processors and graphics of Intel, and for ARM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..errors import EscError
from . import onnx
from .order import Order
from .quiet import in_short, quiet

#: The folder of a file's facts.
FACTS = "esc"


def convert(order: Order, path: Path) -> None:
    """See `esc_plugin.export.formats.Converter`; made of an ONNX file, which takes images of any size too.

    OpenVINO's own reader does that. Its converter for Python would measure the user.
    """
    traced = path.with_suffix(".onnx")
    onnx.convert(replace(order, precision="float32"), traced)  # OpenVINO shortens weights itself
    with quiet(compiled_parts=True):
        import openvino

        try:
            model = openvino.Core().read_model(traced)
            openvino.save_model(model, path, compress_to_fp16=order.precision == "float16")
        except Exception as error:  # it raises almost anything
            raise EscError(f"OpenVINO can't convert this network: {in_short(error)}") from None
    traced.unlink()


def run(path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """See `esc_plugin.export.formats.Converter`."""
    import openvino

    # Left to itself it takes bfloat16 where the processor has that.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    found = openvino.Core().compile_model(path, "CPU", settings)(dict(inputs))
    return {output.get_any_name(): value for output, value in found.items()}


def describe(path: Path, facts: Mapping[str, str]) -> None:
    """See `esc_plugin.export.formats.Converter`; for ``model.get_rt_info(["esc", "name"])``."""
    tree = ElementTree.parse(path)
    root = tree.getroot()
    info = root.find("rt_info")
    folder = ElementTree.SubElement(ElementTree.SubElement(root, "rt_info") if info is None else info, FACTS)
    for name, value in facts.items():
        ElementTree.SubElement(folder, name, value=value)
    tree.write(path, encoding="utf-8", xml_declaration=True)
