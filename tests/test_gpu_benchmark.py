"""`benchmarks/gpu.py` works the first time: on a machine with little installed, and where it asks a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from esc_plugin.network import ESC, released

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"
if not SCRIPT.exists():
    pytest.skip("the benchmarks aren't in this copy", allow_module_level=True)
sys.path.insert(0, str(SCRIPT.parent))

from gpu_stages import authors, bench  # noqa: E402


def stages_of(way: str, out: Path) -> dict[str, Any]:
    """Run it on tiny images, by ``python -m tests.WAY``, and return what it found."""
    command = [sys.executable, "-m", f"tests.{way}", str(SCRIPT), "--device", "cpu", "--tiny", "--out", str(out)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (out / "gpu.md").read_text(encoding="utf-8") in done.stdout
    return json.loads((out / "gpu.json").read_text(encoding="utf-8"))["stages"]


def failures(stages: dict[str, Any]) -> list[str]:
    rows = [row for entry in stages.values() for row in (entry, *entry["rows"])]
    return [row["traceback"] for row in rows if "traceback" in row]


@pytest.mark.slow
def test_with_nothing_installed_but_what_is_named(tmp_path: Path) -> None:
    stages = stages_of("bare", tmp_path)
    assert not failures(stages)
    assert all(entry["rows"] for entry in stages.values())
    assert not any(row["differing"] for row in stages["equality"]["rows"])


@pytest.mark.slow
def test_what_only_a_gpu_is_asked_for(tmp_path: Path) -> None:
    """All that is left out on a CPU runs too; what a graph replays can't be equal, as nothing was captured."""
    stages = stages_of("pretended_cuda", tmp_path)
    assert not failures(stages)
    assert not any("needs CUDA" in str(entry["rows"]) for entry in stages.values())


@pytest.mark.parametrize(("name", "scale"), [("ESC-lt", 2), ("ESC-FP", 3), ("ESC-Real", 4)])
def test_the_authors_form_is_the_same_function(name: str, scale: int) -> None:
    torch.manual_seed(0)
    network = ESC(released(name, scale)).eval().requires_grad_(False)
    image = torch.rand(1, 3, 36, 40)
    theirs = authors.Authors(network.state_dict(), scale, 32, network.config.num_heads)
    torch.testing.assert_close(theirs(image), network(image), atol=1e-4, rtol=1e-4)


def test_a_stage_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    def fails(bench: bench.Bench) -> None:
        bench.add(found=1)
        raise RuntimeError("no such kernel")

    run = bench.Bench(torch.device("cpu"), True, tmp_path, bench.time.monotonic() + 60, tmp_path)
    run.run([bench.Stage("first", "", 10, fails), bench.Stage("second", "", 10, lambda bench: bench.add(found=2) and None)])
    stages = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["stages"]
    assert stages["first"]["rows"] == [{"found": 1}]
    assert stages["first"]["error"] == "RuntimeError: no such kernel"
    assert stages["second"]["rows"] == [{"found": 2}]


def test_what_comes_after_the_time_is_left_out(tmp_path: Path) -> None:
    run = bench.Bench(torch.device("cpu"), True, tmp_path, bench.time.monotonic() - 1, tmp_path)
    run.run([bench.Stage("late", "", 10, lambda bench: pytest.fail("it ran"))])
    assert run.found["stages"]["late"]["left_out"] == "no time was left"
