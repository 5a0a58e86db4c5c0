"""A small ComfyUI for contract tests: what the pack touches of it, behaving as version 0.3.64 (2025) or as those of 2026.

Only behaviour that a pack can trip over is reproduced; each generation differs in what its own tests name.
"""

from __future__ import annotations

import asyncio
import enum
import importlib
import importlib.util
import inspect
import io
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from esc_plugin.network import EscConfig

from .comfy_io import GENERATIONS as GENERATIONS
from .comfy_io import NodeOutput, arguments, make_io

ROOT = Path(__file__).parents[1]
NUMBERS = itertools.count()
#: A network for tests that takes no time.
TINY = EscConfig(dim=12, pdim=4, n_blocks=1, conv_blocks=1, window_size=6, num_heads=3, proj_hidden=18, conv_hidden=15)


class OutOfMemoryError(RuntimeError):
    """What this ComfyUI's devices raise."""


@dataclass
class Comfy:
    """A running ComfyUI: its modules, what the pack did to it, and what its user does."""

    generation: str
    modules: dict[str, ModuleType]
    interrupt: type[BaseException]
    nodes: dict[str, Any] = field(default_factory=dict)
    pack: ModuleType | None = None
    told: list[tuple[int, int, Any]] = field(default_factory=list)  # progress: value, total, preview
    said: list[str] = field(default_factory=list)  # texts under nodes
    loads: list[tuple[Any, int, bool]] = field(default_factory=list)  # load_models_gpu: patcher, bytes, full
    files: dict[str, Path] = field(default_factory=dict)  # in models/upscale_models
    cancel_after: int | None = None  # checks for Cancel until the user presses it
    emptied: int = 0  # soft_empty_cache
    folder: Path = Path()  # models/upscale_models
    temporary: Path = Path()  # emptied when ComfyUI starts
    output: Path = Path()  # what users keep
    dtype: torch.dtype = torch.float32  # of images between nodes, since 2026

    def start(self) -> None:
        """Begin a prompt with nothing pressed and nothing told."""
        self.told.clear()
        self.said.clear()
        self.loads.clear()
        self.cancel_after, self.emptied, self.dtype = None, 0, torch.float32
        self.modules["comfy.cli_args"].args.preview_method = self.previews.NoPreviews

    @property
    def previews(self) -> Any:
        return self.modules["comfy.cli_args"].LatentPreviewMethod

    def inside(self, name: str) -> ModuleType:
        """Return a module of the pack."""
        assert self.pack is not None
        return importlib.import_module(f"{self.pack.__name__}.{name}")

    def run(self, node_id: str, **inputs: Any) -> Any:
        """Execute a node as ComfyUI does and return its only output."""
        node = self.nodes[node_id]
        values = arguments(node.define_schema().inputs, inputs)
        with torch.inference_mode():
            output = locked(node).execute(**values)
        assert isinstance(output, NodeOutput)
        (result,) = output.args
        return result

    def refusal(self, node_id: str, **inputs: Any) -> str:
        """What ComfyUI says against a prompt before anything runs; empty if it takes it."""
        node = self.nodes[node_id]
        own = inspect.getfullargspec(node.validate_inputs).args if hasattr(node, "validate_inputs") else []
        for given in node.define_schema().inputs:
            judged = given.kind == "COMBO" and given.id not in own and self.generation == "2026"
            if judged and inputs.get(given.id) not in given.values["options"]:
                return f"Value not in list: {inputs.get(given.id)!r}"
        answer = locked(node).validate_inputs(**{name: inputs[name] for name in inputs if name in own}) if own else True
        return "" if answer is True else str(answer)

    def fingerprint(self, node_id: str, **inputs: Any) -> Any:
        """Return what decides, beside the inputs themselves, whether a node runs again: not itself if it always does."""
        node = self.nodes[node_id]
        if not hasattr(node, "fingerprint_inputs"):
            return False
        try:
            return locked(node).fingerprint_inputs(**arguments(node.define_schema().inputs, inputs))
        except Exception:  # as ComfyUI, which only logs it
            return float("nan")

    def stock_upscale(self, descriptor: Any, image: torch.Tensor) -> torch.Tensor:
        """Do what ComfyUI's own upscale node does with an ``UPSCALE_MODEL``."""
        mm, utils = self.modules["comfy.model_management"], self.modules["comfy.utils"]
        if self.generation == "2026":
            mm.load_models_gpu([descriptor.patcher], memory_required=1, force_full_load=True)
        descriptor.to(mm.get_torch_device())
        with torch.inference_mode():
            planes = image.movedim(-1, -3)
            scaled = utils.tiled_scale(
                planes, lambda a: descriptor(a.float()), tile_x=512, tile_y=512, overlap=32, upscale_amount=descriptor.scale
            )
        return scaled.movedim(-3, -1).clamp(0, 1)


def locked(node: Any) -> Any:
    """Return a class that refuses assignments, as nodes do while they run."""

    class Lock(type(node)):  # type: ignore[misc]
        def __setattr__(cls, name: str, value: Any) -> None:
            raise AttributeError(f"can't set {name!r}: node classes are locked")

    return Lock(node.__name__, (node,), {})


def make_host(generation: str) -> Comfy:
    """Return a ComfyUI that isn't in `sys.modules` and has no pack."""
    interrupt = type("InterruptProcessingException", (Exception if generation == "2025" else BaseException,), {})
    host = Comfy(generation, {}, interrupt)
    host.modules.update(
        {
            "comfy": ModuleType("comfy"),
            "comfy.cli_args": _cli_args(),
            "comfy.model_management": _model_management(host),
            "comfy.model_patcher": _model_patcher(host),
            "comfy.utils": _utils(host),
            "comfy_api": ModuleType("comfy_api"),
            "comfy_api.latest": _api(generation),
            "folder_paths": _folder_paths(host),
            "server": _server(host),
            "nodes": _nodes(generation),
        }
    )
    for name, module in host.modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(host.modules[parent], child, module)
    return host


@contextmanager
def comfy(generation: str, root: Path = ROOT) -> Iterator[Comfy]:
    """Put a ComfyUI into `sys.modules`, load the pack in `root` into it as ComfyUI would, and take both away again."""
    host = make_host(generation)
    before = dict(sys.modules)
    folder = f"esc-plugin-{next(NUMBERS)}"  # a new one each time, so that nothing is imported from another
    sys.modules.update(host.modules)
    try:
        host.pack = load_pack(folder, root)
        extension = asyncio.run(host.pack.comfy_entrypoint())
        assert isinstance(extension, host.modules["comfy_api.latest"].ComfyExtension)
        host.nodes = {node.define_schema().node_id: node for node in asyncio.run(extension.get_node_list())}
        yield host
    finally:
        for name in set(sys.modules) - set(before):
            if name in host.modules or name.startswith(_module_name(folder)):
                del sys.modules[name]
        sys.modules.update(before)


def import_spandrel() -> ModuleType:
    """Import the spandrel of the registry."""
    for name in ("spandrel", "torchvision"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install --no-deps spandrel einops torchvision==0.28.0")
    return importlib.import_module("spandrel")


def load_pack(folder: str, root: Path = ROOT) -> ModuleType:
    """Import the root of the repository, or of a copy, as ComfyUI does: under its path, dots replaced."""
    name = _module_name(folder)
    spec = importlib.util.spec_from_file_location(name, root / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _module_name(folder: str) -> str:
    return f"/some where/ComfyUI-0.3/custom_nodes/{folder}".replace(".", "_x_")


def _cli_args() -> ModuleType:
    module = ModuleType("comfy.cli_args")
    module.LatentPreviewMethod = enum.Enum("LatentPreviewMethod", ["NoPreviews", "Auto"])
    module.args = SimpleNamespace(preview_method=module.LatentPreviewMethod.NoPreviews, preview_size=512)
    return module


def _model_management(host: Comfy) -> ModuleType:
    mm = ModuleType("comfy.model_management")

    def load_models_gpu(models: list[Any], memory_required: int = 0, *, force_full_load: bool = False) -> None:
        for patcher in models:
            host.loads.append((patcher, memory_required, force_full_load))

    def throw_exception_if_processing_interrupted() -> None:
        if host.cancel_after is not None:
            host.cancel_after -= 1
            if host.cancel_after < 0:
                host.cancel_after = None  # a pressed Cancel counts once
                raise host.interrupt

    def soft_empty_cache() -> None:
        host.emptied += 1

    mm.load_models_gpu = load_models_gpu
    mm.throw_exception_if_processing_interrupted = throw_exception_if_processing_interrupted
    mm.soft_empty_cache = soft_empty_cache
    mm.InterruptProcessingException = host.interrupt
    mm.get_torch_device = mm.unet_offload_device = mm.intermediate_device = lambda: torch.device("cpu")
    if host.generation == "2025":
        mm.OOM_EXCEPTION = OutOfMemoryError
    else:
        mm.is_oom = lambda error, /: isinstance(error, OutOfMemoryError)
        mm.intermediate_dtype = lambda: host.dtype
    return mm


def _model_patcher(host: Comfy) -> ModuleType:
    module = ModuleType("comfy.model_patcher")

    class ModelPatcher:
        def __init__(self, model: torch.nn.Module, load_device: torch.device, offload_device: torch.device) -> None:
            self.model, self.load_device, self.offload_device = model, load_device, offload_device
            model.device = offload_device  # fails if the module has a read-only one
            model.dynamic_pins = {load_device: Pinned()}

    module.ModelPatcher = ModelPatcher
    if host.generation == "2026":
        module.CoreModelPatcher = type("CoreModelPatcher", (ModelPatcher,), {})
    return module


class Pinned:
    """A handle of native memory, such as patchers of 2026 leave on a module: nobody may copy it."""

    def __deepcopy__(self, memo: Any) -> None:
        raise AssertionError("a module that ComfyUI manages was copied")


def _utils(host: Comfy) -> ModuleType:
    utils = ModuleType("comfy.utils")

    class ProgressBar:
        def __init__(self, total: int, node_id: str | None = None) -> None:
            self.total, self.current = total, 0

        def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
            self.total = total or self.total
            self.current = min(value, self.total)
            if host.generation == "2025":
                host.modules["comfy.model_management"].throw_exception_if_processing_interrupted()
            host.told.append((self.current, self.total, preview))

        def update(self, value: int) -> None:
            self.update_absolute(self.current + value)

    def starts(length: int, tile: int, overlap: int) -> list[int]:
        return list(range(0, length - overlap, tile - overlap)) if length > tile else [0]

    def get_tiled_scale_steps(width: int, height: int, tile_x: int, tile_y: int, overlap: int) -> int:
        return len(starts(width, tile_x, overlap)) * len(starts(height, tile_y, overlap))

    def tiled_scale(
        samples: torch.Tensor,
        function: Any,
        tile_x: int,
        tile_y: int,
        overlap: int,
        upscale_amount: int,
        out_channels: int = 3,
        output_device: Any = "cpu",
        pbar: Any = None,
    ) -> torch.Tensor:
        height, width = samples.shape[2:]
        s = upscale_amount
        out = torch.zeros(samples.shape[0], out_channels, height * s, width * s, device=output_device)
        weight = torch.zeros_like(out)
        for b, y, x in itertools.product(
            range(len(samples)), starts(height, tile_y, overlap), starts(width, tile_x, overlap)
        ):
            tile = function(samples[b : b + 1, :, y : y + tile_y, x : x + tile_x])
            place = (slice(b, b + 1), slice(None), slice(y * s, (y + tile_y) * s), slice(x * s, (x + tile_x) * s))
            out[place] += tile
            weight[place] += 1
            if pbar is not None:
                pbar.update(1)
        return out / weight

    utils.ProgressBar = ProgressBar
    utils.get_tiled_scale_steps = get_tiled_scale_steps
    utils.tiled_scale = tiled_scale
    return utils


def _server(host: Comfy) -> ModuleType:
    module = ModuleType("server")

    def send_progress_text(text: str, node_id: str) -> None:
        assert node_id == "7"
        host.said.append(text)

    module.PromptServer = SimpleNamespace(instance=SimpleNamespace(send_progress_text=send_progress_text))
    return module


def _folder_paths(host: Comfy) -> ModuleType:
    module = ModuleType("folder_paths")

    def known(kind: str) -> None:
        assert kind == "upscale_models"

    def get_filename_list(folder_name: str) -> list[str]:
        known(folder_name)
        return sorted(host.files)

    def get_full_path(folder_name: str, filename: str) -> str | None:
        known(folder_name)
        return str(host.files[filename]) if filename in host.files else None

    def get_folder_paths(folder_name: str) -> list[str]:
        known(folder_name)
        return [str(host.folder), "/nowhere/else"]

    module.get_temp_directory = lambda: str(host.temporary)
    module.get_output_directory = lambda: str(host.output)
    module.get_filename_list = get_filename_list
    module.get_full_path = get_full_path
    module.get_folder_paths = get_folder_paths
    return module


def _nodes(generation: str) -> ModuleType:
    """ComfyUI's own nodes, as far as others stand beside them."""
    module = ModuleType("nodes")
    loaders = "loaders" if generation == "2025" else "model/loaders"
    categories = {"UpscaleModelLoader": loaders, "ImageUpscaleWithModel": "image/upscaling"}
    module.NODE_CLASS_MAPPINGS = {name: type(name, (), {"CATEGORY": where}) for name, where in categories.items()}
    return module


def _api(generation: str) -> ModuleType:
    latest = ModuleType("comfy_api.latest")
    latest.io = make_io(generation)
    latest.ComfyExtension = type("ComfyExtension", (), {})
    latest.InputImpl = SimpleNamespace(VideoFromFile=VideoFromFile if generation == "2025" else CutVideoFromFile)
    return latest


class VideoFromFile:
    """What goes over ``VIDEO`` wires: a film in a file, or in memory."""

    def __init__(self, file: str | io.BytesIO) -> None:
        self.file = file

    def get_stream_source(self) -> str | io.BytesIO:
        if isinstance(self.file, io.BytesIO):
            self.file.seek(0)
        return self.file


class CutVideoFromFile(VideoFromFile):
    """The same of 2026, of which only a part may be meant."""

    def __init__(self, file: str | io.BytesIO, *, start_time: float = 0, duration: float = 0) -> None:
        super().__init__(file)
        self.start_time, self.duration = start_time, duration

    def get_active_trim_window(self) -> tuple[float, float]:
        """Return the first second and how many, 0 for all to the end."""
        return float(self.start_time), float(self.duration)
