"""A process that runs one network when told to, so that what one leaves in the allocator doesn't help or hinder another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch
from networks import Run, authors, model_of, ours, peer, plain
from timing import Taken, measured, trim

#: Edge of the image that each runs once before it is timed, and of the one by which results are compared.
WARM, COMPARED = 256, 128


@dataclass(frozen=True)
class Work:
    """What a candidate runs.

    Attributes
    ----------
    name, kind : str
        The network with its scale, and how it is run: "peer", "plain", "fused", "authors ATTENTION", or a precision of ours.
    side : int
        Edge of the image.
    without : str
        A library that the candidate is to do without, as if it weren't installed.
    checkout : str
        A folder with another state of this project, empty for this one.
    authors : tuple of str
        The authors' files.
    """

    name: str
    kind: str
    side: int
    without: str = ""
    checkout: str = ""
    authors: tuple[str, ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        words = [self.name, "" if self.kind == "peer" else self.kind, self.without and f"without {self.without}"]
        return " ".join(filter(None, words))


def prepare(work: Work) -> tuple[Run, dict[str, Any]]:
    """Return what to run, and what there is to say about it: its FLOP, where they are known."""
    if work.kind == "peer":
        return peer(work.name), {}
    from esc_plugin.measure.duration import work as multiplications
    from esc_plugin.upscaler import Upscaler

    model = model_of(work.name)
    size, target = (work.side, work.side), (work.side * model.scale, work.side * model.scale)
    told: dict[str, Any] = {"flop": 2 * multiplications(Upscaler(model, device="cpu"), size, target)}
    if work.kind.startswith("authors"):
        return theirs(work, model), told
    if work.kind in ("plain", "fused"):
        return plain(model, fused=work.kind == "fused"), told
    return ours(model, work.kind), told


def theirs(work: Work, model: Any) -> Run:
    return authors(model, list(map(Path, work.authors)), work.kind.split()[1])


def difference(work: Work) -> float:
    """Return the largest difference of the authors' result and ours."""
    model, side = model_of(work.name), min(work.side, COMPARED)
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    return (theirs(work, model)(image.clone()) - ours(model, "float32")(image)).abs().max().item()


def serve(work: Work, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tell what was loaded, then run or compare for each line of input, and tell what came of it."""
    if work.without:
        sys.modules[work.without] = None  # type: ignore[assignment]  # as good as not installed
    with torch.inference_mode():
        run, told = prepare(work)
        image = torch.rand(1, 3, work.side, work.side, generator=torch.Generator().manual_seed(0))
        import esc_plugin

        trim()
        idle = psutil.Process().memory_info().rss
        run(image[..., :WARM, :WARM].clone())
        tell(told | {"package": esc_plugin.__file__})
        for line in sys.stdin:
            found = {"difference": difference(work)} if line == "compare\n" else asdict(measured(lambda: run(image), idle))
            tell(found)


class Candidate:
    """The same, seen from the process that compares."""

    def __init__(self, work: Work) -> None:
        self.work = work
        root = Path(work.checkout or Path(__file__).parents[1]).resolve()
        command = [sys.executable, str(Path(__file__).resolve()), json.dumps(asdict(work))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self.child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)}, **pipes)
        with ExitStack() as refused:
            refused.callback(self.end)
            self.told = self._hear()
            if root not in Path(self.told["package"]).parents:
                raise SystemExit(f"{work.label} ran {self.told['package']}, not what is in {root}.")
            refused.pop_all()

    def _hear(self) -> dict[str, Any]:
        assert self.child.stdout
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(f"{self.work.label} could not be run; what it said is above.")
        found: dict[str, Any] = json.loads(line)
        return found

    def run(self) -> Taken:
        return Taken(**self._ask("run"))

    def compare(self) -> None:
        """Learn how far the authors' result is from ours; last of all, since it leaves memory behind."""
        if self.work.authors:
            self.told |= self._ask("compare")

    def _ask(self, what: str) -> dict[str, Any]:
        assert self.child.stdin
        self.child.stdin.write(f"{what}\n")
        return self._hear()

    def end(self) -> None:
        self.child.kill()
        self.child.communicate()


def main() -> None:
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print isn't for the process that listens
    values = json.loads(sys.argv[1])
    work = Work(**values | {"authors": tuple(values["authors"])})
    serve(work, lambda found: print(json.dumps(found), file=told, flush=True))


if __name__ == "__main__":
    main()
