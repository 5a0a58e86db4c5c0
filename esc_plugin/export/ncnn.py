"""ncnn's pairs of files, ``.param`` and ``.bin``, made by pnnx: for phones, and for programs with Vulkan."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from ..errors import EscError
from .ncnn_layers import LAYERS, MODULES
from .order import Order
from .portable import replaced
from .quiet import in_short, quiet

#: What stays in float32 whatever the machine, so that a file gives the same everywhere. `ncnn.Option` has these switches.
SHORTER = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")
#: Our names of blobs, where those of the "whole" form are what programs for ncnn ask for.
OURS = {"data": "image", "output": "upscaled"}
#: Of (1, C, H, W), of which ncnn doesn't have the first.
MAP_AXES = 4


def convert(order: Order, path: Path) -> None:
    """See `esc_plugin.export.formats.Converter`."""
    if order.model.any_scale:
        raise EscError(f"{order.model.name!r} renders any scale (LTE), which can't be written for ncnn.")
    least = order.window
    if order.size and min(order.size) < least:
        raise EscError(f"ncnn can't reflect beyond an image: {order.size!r} is less than a window, {least} x {least}.")
    module = MODULES[order.form](replaced(order.model.network, LAYERS), order.scale)
    # As small as can be with other numbers of windows in each direction: pnnx keeps every value of both.
    sizes = [order.size] if order.size else [(least, least + 3), (least + 7, 2 * least + 1)]
    examples = [tuple(order.example(*size).values()) for size in sizes]
    with TemporaryDirectory(dir=path.parent) as folder:
        traced = Path(folder, "network.pt")
        _trace(module, examples[0], traced)
        param, weights = _pnnx(traced, examples, half=order.precision == "float16")
        names = {f"in{i}": name for i, name in enumerate(module.inputs)}
        names |= {f"out{i}": name for i, name in enumerate(module.outputs)}
        path.write_text(_named(param.read_text(encoding="ascii"), names), encoding="ascii", newline="\n")
        weights.replace(path.with_suffix(".bin"))


def run(path: Path, inputs: Mapping[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """See `esc_plugin.export.formats.Converter`."""
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = threads
    for switch in SHORTER:
        setattr(network.opt, switch, False)
    # To run what wasn't loaded would end the process.
    if network.load_param(str(path)) or network.load_model(str(path.with_suffix(".bin"))):
        raise EscError(f"ncnn can't load {str(path)!r}.")
    extractor, found = network.create_extractor(), {}
    for name in network.input_names():
        value = inputs[OURS.get(name, name)]
        extractor.input(name, ncnn.Mat(value[0] if value.ndim == MAP_AXES else value).clone())
    for name in network.output_names():
        failed, blob = extractor.extract(name)
        if failed:
            raise EscError(f"ncnn can't make {name!r} of {str(path)!r}.")
        value = np.array(blob)
        found[OURS.get(name, name)] = value[None] if value.ndim == MAP_AXES - 1 else value
    return found


def describe(path: Path, facts: Mapping[str, str]) -> None:
    """See `esc_plugin.export.formats.Converter`. Neither file has a place for notes, so they lie beside."""
    path.with_suffix(".json").write_text(json.dumps(dict(facts), indent=1) + "\n", encoding="utf-8")


def _trace(module: torch.nn.Module, example: Sequence[Tensor], path: Path) -> None:
    for value in example:
        value.requires_grad_()  # as in training: torch's own operators, not those of one library for processors
    with quiet():
        try:
            torch.jit.trace(module, tuple(example), check_trace=False).save(str(path))
        except Exception as error:  # it raises almost anything
            raise EscError(f"torch {torch.__version__} can't trace this network: {in_short(error)}") from None


def _pnnx(traced: Path, examples: Sequence[Sequence[Tensor]], *, half: bool) -> tuple[Path, Path]:
    """Convert a traced network; return the structure and the weights.

    Parameters
    ----------
    examples : sequence of sequences of Tensor
        One or two sets of inputs. Sizes that differ between the sets are left open.
    half : bool
        Whether weights are stored as float16.
    """
    import pnnx

    command = [pnnx.EXEC_PATH, traced.name, f"fp16={int(half)}"]
    for key, example in zip(("inputshape", "inputshape2"), examples, strict=False):
        shapes = ("[" + ",".join(map(str, value.shape)) + "]" for value in example)
        command.append(f"{key}={','.join(shapes)}")
    try:
        done = subprocess.run(command, cwd=traced.parent, capture_output=True, text=True, errors="replace", check=False)
    except OSError as error:
        raise EscError(f"can't start pnnx: {error.strerror or error}.") from None
    param, weights = (traced.with_suffix(f".ncnn.{kind}") for kind in ("param", "bin"))
    if done.returncode or not (param.is_file() and weights.is_file()):
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        raise EscError(f"pnnx can't convert this network (it ended with {done.returncode}): {said}")
    return param, weights


def _named(param: str, names: Mapping[str, str]) -> str:
    """Give blobs other names, and refuse what pnnx left as it was: of such layers ncnn knows nothing."""
    lines = [line.split() for line in param.splitlines()]
    # A magic number, the number of layers and blobs, and a line for each layer: type, name, counts, blobs, parameters.
    if foreign := sorted({line[0] for line in lines[2:] if "." in line[0]}):
        raise EscError(f"pnnx finds nothing in ncnn for {', '.join(foreign)}.")
    return "".join(" ".join(names.get(word, word) for word in line) + "\n" for line in lines)
