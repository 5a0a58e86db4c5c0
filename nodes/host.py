"""ComfyUI as the nodes see it, of 2025 (0.3.64) and of 2026 alike."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import comfy.model_patcher
import comfy.utils
import folder_paths
import torch
from comfy.cli_args import LatentPreviewMethod, args
from torch import Tensor

from ..esc_plugin.device import choose_dtype
from ..esc_plugin.errors import Cancelled
from ..esc_plugin.progress import Cancel, Progress

logger = logging.getLogger(__name__)

#: The page is told of progress, and shown a preview, at most this often, in seconds.
PROGRESS_EVERY, PREVIEW_EVERY = 0.1, 1.0
#: Edges and overlap of tiles, as ComfyUI's own upscale node has them.
LARGEST_TILE, SMALLEST_TILE, OVERLAP = 512, 128, 32
#: What ComfyUI reckons that an unknown model takes: so many times the float32 input tile, times the scale.
TILE_COST = 384


class ComfyHost:
    """What the upscale nodes need of ComfyUI: devices, memory, progress and tiles; a `Host` of `.upscale`.

    Parameters
    ----------
    node_id : str, optional
        Of the node at work, which shows what is said.
    """

    def __init__(self, node_id: str | None = None) -> None:
        self.node_id = node_id

    def device(self) -> torch.device:
        """Return the device that ComfyUI runs models on."""
        return torch.device(mm.get_torch_device())

    def raise_if_cancelled(self) -> None:
        """Raise ComfyUI's own exception if the user has pressed Cancel. It may be no `Exception`; nobody should catch it."""
        mm.throw_exception_if_processing_interrupted()

    def progress(self, picture: Callable[[], Any] | None = None) -> Progress:
        """Return a callback ``(done, total)`` that moves the node's bar, shows ``picture()`` and heeds Cancel."""
        bar, next_told, next_shown = comfy.utils.ProgressBar(1), 0.0, time.monotonic() + PREVIEW_EVERY
        picture = picture if args.preview_method != LatentPreviewMethod.NoPreviews else None

        def tell(done: int, total: int) -> None:
            nonlocal next_told, next_shown
            self.raise_if_cancelled()
            now, shown = time.monotonic(), None
            if now < next_told and done < total:
                return
            next_told = now + PROGRESS_EVERY
            if picture and now >= next_shown and (image := picture()):
                shown, next_shown = ("JPEG", image, args.preview_size), now + PREVIEW_EVERY
            bar.update_absolute(done, total, shown)

        return tell

    def say(self, text: str) -> None:
        """Write a text to the log, and under the node."""
        logger.info("%s", text)
        server = getattr(sys.modules.get("server"), "PromptServer", None)
        if self.node_id and (instance := getattr(server, "instance", None)):
            instance.send_progress_text(text, self.node_id)

    def handed_on(self, images: Tensor) -> Tensor:
        """Return images on the device and in the type that ComfyUI keeps them between nodes."""
        dtype = getattr(mm, "intermediate_dtype", lambda: torch.float32)  # not of 2025
        return images.to(mm.intermediate_device(), dtype())

    @contextmanager
    def download_callbacks(self) -> Iterator[tuple[Progress, Cancel]]:
        """Give a progress callback and a cancel callback for a download.

        ComfyUI's exception for Cancel must not be raised inside of other people's downloaders, which may take it for a
        failure of theirs: it is held until they have stopped.
        """
        tell = self.progress()
        pressed: list[BaseException] = []

        def progress(done: int, total: int) -> None:
            try:
                tell(done, max(done, total, 1))
            except BaseException as error:
                pressed.append(error)

        try:
            yield progress, lambda: bool(pressed)
        except Cancelled:
            raise pressed[0] from None

    def reserve(self, descriptor: Any, memory: int) -> None:
        """Have ComfyUI make room for `memory` bytes, and put the descriptor's module on the device."""
        patcher = attach_patcher(descriptor).patcher
        mm.load_models_gpu([patcher], memory_required=memory, force_full_load=True)
        # Parameters outside of leaf modules stay behind, and other nodes may have moved the module meanwhile.
        descriptor.to(patcher.load_device)

    def is_out_of_memory(self, error: Exception) -> bool:
        """Tell whether that is what an error means."""
        judge = getattr(mm, "is_oom", None)
        return bool(judge(error)) if judge else isinstance(error, mm.OOM_EXCEPTION)

    def free_cached(self) -> None:
        """Give back what is cached on the device."""
        mm.soft_empty_cache()

    def upscale_in_tiles(
        self, descriptor: Any, image: Tensor, precision: str, memory_limit: int | None, progress: Progress
    ) -> Tensor:
        """Upscale (1, 3, H, W) with any model as ComfyUI's own node does, in smaller tiles where memory is short."""
        tile = LARGEST_TILE
        while memory_limit and tile > SMALLEST_TILE and self._tile_bytes(descriptor, image, tile) > memory_limit:
            tile //= 2
        dtype, own = dtype_for(descriptor, precision), descriptor.dtype
        self.reserve(descriptor, self._tile_bytes(descriptor, image, tile))
        try:
            descriptor.to(dtype)
            while True:
                try:
                    return self._run_tiles(descriptor, image.to(self.device(), dtype), tile, progress)
                except Exception as error:
                    if tile // 2 < SMALLEST_TILE or not self.is_out_of_memory(error):
                        raise
                tile //= 2
                logger.warning("out of memory; going on with tiles of %d pixels.", tile)
                self.free_cached()
        finally:
            descriptor.to(own)

    def _run_tiles(self, descriptor: Any, image: Tensor, tile: int, progress: Progress) -> Tensor:
        height, width = image.shape[2:]
        total = comfy.utils.get_tiled_scale_steps(width, height, tile_x=tile, tile_y=tile, overlap=OVERLAP)
        done = 0

        def run_tile(part: Tensor) -> Tensor:
            nonlocal done
            out: Tensor = descriptor(part).float()
            done += 1
            progress(min(done, total), total)
            return out

        scale = descriptor.scale
        whole: Tensor = comfy.utils.tiled_scale(
            image, run_tile, tile_x=tile, tile_y=tile, overlap=OVERLAP, upscale_amount=scale
        )
        return whole

    def _tile_bytes(self, descriptor: Any, image: Tensor, tile: int) -> int:
        height, width = (min(length, tile) for length in image.shape[2:])
        return int(height * width * 3 * 4 * max(descriptor.scale, 1) * TILE_COST)


def attach_patcher(descriptor: Any) -> Any:
    """Give a descriptor the patcher by which ComfyUI manages its memory, and which its nodes of 2026 require; return it."""
    if getattr(descriptor, "patcher", None) is None:
        patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        places = {"load_device": mm.get_torch_device(), "offload_device": mm.unet_offload_device()}
        descriptor.patcher = patcher(descriptor.model, **places)
    return descriptor


def dtype_for(descriptor: Any, precision: str) -> torch.dtype:
    """Return the precision that the user wants, or float32 where the model can't do it."""
    dtype = choose_dtype(precision, mm.get_torch_device())
    able = {torch.float16: descriptor.supports_half, torch.bfloat16: descriptor.supports_bfloat16}.get(dtype, True)
    if not able:
        logger.warning("this model can't work in %s; going on in float32.", precision)
    return dtype if able else torch.float32


class ComfyModelFolders:
    """ComfyUI's upscale model folders, those of ``extra_model_paths.yaml`` included; `ModelFolders` of `.models`."""

    KIND = "upscale_models"

    def files(self) -> list[str]:
        """Return the names of all files, as ComfyUI's menus show them."""
        return list(folder_paths.get_filename_list(self.KIND))

    def path(self, name: str) -> str | None:
        """Return where a file is, or None if it is gone."""
        path: str | None = folder_paths.get_full_path(self.KIND, name)
        return path

    def folder(self) -> Path:
        """Return where downloads go: the first folder, which is the user's default."""
        return Path(folder_paths.get_folder_paths(self.KIND)[0])
