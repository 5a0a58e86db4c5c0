"""A tiny model is made better at a few pictures; the result appears as a whole."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ..job import Job
from .hub import weights
from .upscale import picture

OUTPUT = "finer"


def main() -> None:
    """Run the command line with so many iterations instead of minutes, unless the result is there already."""
    from esc_plugin.cli import main
    from esc_plugin.train import wish

    if not Path(OUTPUT).exists():
        wish.Wish = partial(wish.Wish, iterations=12)  # type: ignore[assignment, misc]
        main()


def same(made: Path, wanted: Path) -> bool:
    """Whether a file of the result is whole; Ctrl-C ends a fine-tuning with what was learned so far."""
    if made.suffix != ".safetensors":
        return 0.5 < made.stat().st_size / wanted.stat().st_size < 2
    from safetensors.torch import load_file

    return load_file(made).keys() == load_file(wanted).keys()


def job() -> Job:
    """Return the job."""
    inputs = {f"mine/{number}.png": picture(64, 64, number) for number in range(5)} | {"start.safetensors": weights()}
    arguments = ("finetune", "mine", "--init", "start.safetensors", "-o", OUTPUT, "--keep", "--set", "photons=[3,3]")
    return Job(
        (*arguments, "--device", "cpu"),
        inputs,
        same=same,
        packages=("lightning",),
        program="tests.faults.jobs.finetune:main",
    )
