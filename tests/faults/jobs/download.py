"""A model that isn't on this machine is downloaded from a page of files, and kept as safetensors."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from esc_plugin.disk import file_sha256
from tests.hub_server import HubServer

from ..job import Job, same_bytes, same_weights

MODEL = "mine"


@cache
def server() -> HubServer:
    """Return the server of all jobs, so that it has the same address in all runs; it lives as long as this process."""
    return HubServer().__enter__()


@contextmanager
def serving() -> Iterator[Mapping[str, str]]:
    """Let the server have what is asked for, and behave; a fault may change that in the meantime."""
    running = server()
    running.break_after.clear()
    running.requests.clear()
    running.status, running.bend, running.bend_json = 0, None, None
    running.release = {"mine.pth": weights()}
    yield {"ESC_MODELS_DIR": "models"}


@cache
def weights() -> bytes:
    """Return a PyTorch file of a small network, as its trainers write it."""
    from esc_plugin.network import ESC
    from tests.small import small_config

    torch.manual_seed(0)
    torch.save({"params_ema": ESC(small_config()).state_dict()}, file := io.BytesIO())
    return file.getvalue()


def same(made: Path, wanted: Path) -> bool:
    """Whether two files in the folder of models say the same; a hash there is of a file whose order is by chance."""
    if made.suffix == ".safetensors":
        return same_weights(made, wanted)
    if made.name == "esc-downloads.json":
        noted, before = (json.loads(path.read_text())["mine.safetensors"] for path in (made, wanted))
        whole = file_sha256(made.with_name("mine.safetensors")) == noted.pop("sha256")
        return whole and noted.items() <= before.items() and len(noted) == len(before) - 1
    return same_bytes(made, wanted)


def job() -> Job:
    """Return the job."""
    entry = {"name": MODEL, "scale": 2, "purpose": "clean photo", "url": f"{server().url}/release/mine.pth"}
    entry["sha256"] = hashlib.sha256(weights()).hexdigest()
    manifest = json.dumps({"models": [entry]}).encode()
    inputs = {"models/manifest.yaml": manifest}
    return Job(("models", "--download", MODEL), inputs, same=same, service=serving)
