"""The golden cases: checkpoints that the trainers' own programs wrote, and what these programs computed with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

#: The golden vectors and benchmark images, where there are any.
SHARED = Path(__file__).parents[2] / "shared"
#: Their parameters don't tell the window size; these were made with another than the published 64.
WINDOW_SIZES = {"esc_rib_x2": 8, "esc_rib_x4": 8}


@dataclass(frozen=True)
class Golden:
    """One checkpoint and its vectors."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name.split(".")[0]

    @property
    def window_size(self) -> int | None:
        return WINDOW_SIZES.get(self.name)

    @property
    def _vectors(self) -> Path:
        return self.path.with_name(f"{self.name}.io.safetensors")

    def pairs(self) -> list[tuple[Tensor, Tensor]]:
        """Return inputs and outputs."""
        tensors = load_file(self._vectors)
        return [(tensors[f"input_{i}"], tensors[f"output_{i}"]) for i in range(len(tensors)) if f"input_{i}" in tensors]

    def stated(self) -> dict[str, int]:
        """Return the configuration that the program was run with, to compare detection with."""
        with safe_open(self._vectors, framework="pt") as file:
            return json.loads(file.metadata()["config"])


def golden_cases() -> list[Golden]:
    """List the cases; none where the folder is absent."""
    files = sorted((SHARED / "golden").glob("*.safetensors")) + sorted((SHARED / "golden").glob("*.pth"))
    return [Golden(path) for path in files if ".io." not in path.name]
