"""What commands import, once for all of them."""

import gc
import importlib
import os
import pkgutil
from contextlib import suppress

# No library may have threads when the process is forked.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import torch

import esc_plugin
from tests.mend import mend_torchvision

mend_torchvision()
torch.set_num_threads(1)
for module in pkgutil.walk_packages(esc_plugin.__path__, "esc_plugin."):
    if not module.name.endswith("__main__"):
        with suppress(ImportError):  # of what isn't installed
            importlib.import_module(module.name)
# What commands import only when they need it.
LATE = ("filelock", "huggingface_hub", "onnxruntime", "onnxscript", "pydantic", "torch.utils.tensorboard")
for late in LATE:
    with suppress(ImportError):
        importlib.import_module(late)
# A collection of garbage writes into each object, and what a program writes to counts for its group, see `memory`.
gc.collect()
gc.freeze()
