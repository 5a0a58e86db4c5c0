"""The memory that may be had: of the machine, within the limits of control groups, batch jobs and shells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from esc_plugin import device, load_model
from esc_plugin.device import free_bytes, free_host_bytes, total_bytes, total_host_bytes
from esc_plugin.errors import EscError, ImageError
from esc_plugin.files.picture import check_size, empty_array

from .small import random_upscaler

MIB = 2**20
AVAILABLE, TOTAL = 8000 * MIB, 16000 * MIB
#: What control groups without a limit say.
NONE_V1 = 9223372036854771712


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=AVAILABLE, total=TOTAL))
    own = SimpleNamespace(rss=100 * MIB, vms=300 * MIB)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=lambda: own))
    monkeypatch.setattr(device, "_address_space", lambda: None)
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)


def group(folder: Path, limit: object, used: int, cache: int = 0, *, v1: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(f"{limit}\n")
    (folder / ("memory.usage_in_bytes" if v1 else "memory.current")).write_text(f"{used}\n")
    inactive = f"inactive_file 1\ntotal_inactive_file {cache}\n" if v1 else f"anon 5\ninactive_file {cache}\n"
    (folder / "memory.stat").write_text(inactive)


def process(root: Path, groups: str, mounts: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(mounts)
    return root


V2_MOUNT = "22 1 8:1 / / rw - ext4 /dev/sda rw\n30 23 0:26 {top} /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"
V1_MOUNT = (
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 {top} /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
)


def test_without_limits_it_is_the_machines(tmp_path: Path) -> None:
    assert (free_host_bytes(tmp_path), total_host_bytes(tmp_path)) == (AVAILABLE, TOTAL)
    process(tmp_path, "0::/\n", V2_MOUNT.format(top="/"))
    group(tmp_path / "sys/fs/cgroup", "max", 5)
    assert (free_host_bytes(tmp_path), total_host_bytes(tmp_path)) == (AVAILABLE, TOTAL)


def test_the_least_of_nested_groups_counts(tmp_path: Path) -> None:
    process(tmp_path, "0::/user.slice/job/step\n", V2_MOUNT.format(top="/"))
    base = tmp_path / "sys/fs/cgroup"
    group(base / "user.slice", 5000 * MIB, 1000 * MIB)
    group(base / "user.slice/job", 430 * MIB, 100 * MIB)
    group(base / "user.slice/job/step", "max", 100 * MIB)
    assert (free_host_bytes(tmp_path), total_host_bytes(tmp_path)) == (330 * MIB, 430 * MIB)
    group(base / "user.slice", 5000 * MIB, 4900 * MIB)  # others there take the rest
    assert free_host_bytes(tmp_path) == 100 * MIB
    (base / "user.slice/job/step/memory.high").write_text(f"{160 * MIB}\n")
    assert free_host_bytes(tmp_path) == 60 * MIB


def test_file_pages_that_the_kernel_gives_back_are_free(tmp_path: Path) -> None:
    process(tmp_path, "0::/job\n", V2_MOUNT.format(top="/"))
    group(tmp_path / "sys/fs/cgroup/job", 430 * MIB, 420 * MIB, cache=300 * MIB)
    assert free_host_bytes(tmp_path) == 310 * MIB


def test_in_a_container_the_groups_own_folder_is_mounted(tmp_path: Path) -> None:
    process(tmp_path, "0::/docker/abc\n", V2_MOUNT.format(top="/docker/abc"))
    group(tmp_path / "sys/fs/cgroup", 430 * MIB, 30 * MIB)
    assert free_host_bytes(tmp_path) == 400 * MIB


def test_a_path_that_only_the_host_knows(tmp_path: Path) -> None:
    process(tmp_path, "0::/../../elsewhere\n", V2_MOUNT.format(top="/docker/abc"))
    group(tmp_path / "sys/fs/cgroup", 430 * MIB, 30 * MIB)
    assert free_host_bytes(tmp_path) == 400 * MIB


@pytest.mark.parametrize(("top", "inside"), [("/", "slurm/job_7/step_0"), ("/slurm/job_7", "step_0")])
def test_version_one(tmp_path: Path, top: str, inside: str) -> None:
    process(tmp_path, "9:cpu:/other\n4:memory:/slurm/job_7/step_0\n0::/\n", V1_MOUNT.format(top=top))
    folder = tmp_path / "sys/fs/cgroup/memory" / inside
    group(folder, NONE_V1, 90 * MIB, v1=True)
    group(folder.parent, 430 * MIB, 130 * MIB, cache=50 * MIB, v1=True)
    assert (free_host_bytes(tmp_path), total_host_bytes(tmp_path)) == (350 * MIB, 430 * MIB)


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/\n", "4:memory\n"])
def test_files_that_say_nothing(tmp_path: Path, text: str) -> None:
    process(tmp_path, text, "also nonsense\n")
    assert free_host_bytes(tmp_path) == AVAILABLE


def test_more_used_than_allowed_is_nothing_free(tmp_path: Path) -> None:
    process(tmp_path, "0::/\n", V2_MOUNT.format(top="/"))
    group(tmp_path / "sys/fs/cgroup", 100 * MIB, 120 * MIB)
    assert free_host_bytes(tmp_path) == 0


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        ({"SLURM_MEM_PER_NODE": "2000"}, 2000),
        ({"SLURM_MEM_PER_NODE": "0"}, None),  # all of the node
        ({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_ON_NODE": "4"}, 2000),
        ({"SLURM_MEM_PER_CPU": "500", "SLURM_CPUS_PER_TASK": "2"}, 1000),
        ({"SLURM_MEM_PER_CPU": "500"}, 500),
        ({"SLURM_MEM_PER_NODE": "many"}, None),
    ],
)
def test_what_slurm_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict, limit: int | None) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert free_host_bytes(tmp_path) == ((limit - 100) * MIB if limit else AVAILABLE)
    assert total_host_bytes(tmp_path) == (limit * MIB if limit else TOTAL)


def test_a_limited_address_space() -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "from esc_plugin.device import free_host_bytes, total_host_bytes\n"
        "print(total_host_bytes() <= 2**31 and 2**29 < free_host_bytes() < 2**31)"
    )
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("it is limited already")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if "current limit exceeds" in done.stderr or "invalid" in done.stderr:
        pytest.skip("this system doesn't limit it")
    assert done.stdout == "True\n", done.stderr


def test_every_part_of_the_program_heeds_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(device, "_limits", lambda root: iter([(300 * MIB, 100 * MIB)]))
    assert (free_bytes(cpu), total_bytes(cpu)) == (200 * MIB, 300 * MIB)
    assert random_upscaler().plan(1500, 1500).device_bytes <= 160 * MIB
    with pytest.raises(ImageError, match=r"0\.2 GiB are free"):
        check_size("a.png", (400 * MIB,), 1)
    assert isinstance(empty_array((100, MIB), "uint8"), np.memmap)
    assert not isinstance(empty_array((10, MIB), "uint8"), np.memmap)


def exported(folder: Path) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from esc_plugin.export.export import export

    export(load_model("esc-nano-x2"), folder / "made.onnx")


def looked_into(folder: Path) -> None:
    from esc_plugin.inspection import study

    study(load_model("esc-nano-x2"), np.zeros((64, 64, 3), np.uint8))


def trained(folder: Path) -> None:
    pytest.importorskip("lightning")
    from esc_plugin.train.recipe import read_recipe
    from esc_plugin.train.run import train

    train(read_recipe("nano", {"data.folders": [str(folder)], "iterations": 1}), folder / "made")


def finetuned(folder: Path) -> None:
    pytest.importorskip("lightning")
    from esc_plugin.train.finetune import Wish, finetune

    finetune([folder], Wish("esc-nano-x2", iterations=1), folder / "made")


@pytest.mark.parametrize(
    ("work", "room"),
    [(exported, 150), (looked_into, 150), (trained, 250), (finetuned, 100)],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_what_can_not_be_cut_is_refused_before_the_system_ends_it(
    work: Callable[[Path], None], room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
    monkeypatch.setattr(device, "_limits", lambda root: iter([((room + 100) * MIB, 100 * MIB)]))
    with pytest.raises(EscError, match=rf"needs about \d+ MB of memory, of which {room} MB are free; .*container"):
        work(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
