"""What has to be put right before other packages can be imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import torch

KEPT: list[torch.library.Library] = []


def mend_torchvision() -> None:
    """Make a torchvision for CUDA importable beside a torch for CPUs, if there is one.

    It registers operators for which such a torch has no schema, and then neither spandrel nor lightning can be imported.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        KEPT.append(library)  # its schemas go with it
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
