"""A picture is upscaled by a model of the Hugging Face Hub, which is downloaded into its cache first."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from ..job import Job
from . import upscale
from .download import server

REPO = "org/mine"


def main() -> None:
    """Run the command line with a client of the Hub that was loaded before it could read where the Hub is."""
    from esc_plugin.cli import main

    url = os.environ["HF_ENDPOINT"]
    settings = {"ENDPOINT": url, "HUGGINGFACE_CO_URL_TEMPLATE": url + "/{repo_id}/resolve/{revision}/{filename}"}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "huggingface_hub":
            vars(module).update({key: value for key, value in settings.items() if key in vars(module)})
    main()


@cache
def weights() -> bytes:
    """Return the file of a small network."""
    import torch
    from safetensors.torch import save

    from esc_plugin.network import ESC
    from tests.small import small_config

    torch.manual_seed(0)
    return save({name: value.contiguous() for name, value in ESC(small_config()).state_dict().items()})


@contextmanager
def serving() -> Iterator[Mapping[str, str]]:
    """Let the Hub have the model."""
    from .download import serving as behaving

    with behaving() as environment:
        server().repo(REPO, {"README.md": b"hi", "mine.safetensors": weights()})
        yield {**environment, "HF_ENDPOINT": server().url}


def job() -> Job:
    """Return the job."""
    usual = upscale.job()
    arguments = ("upscale", "a.png", "-o", "a_x2.png", "--model", REPO, "--overwrite", "--device", "cpu")
    return replace(usual, arguments=arguments, service=serving, program="tests.faults.jobs.hub:main")
