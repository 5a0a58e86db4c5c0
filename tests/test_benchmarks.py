"""What benchmarks say of a busy machine, of pairs of runs, of the authors' own file and of another checkout."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks aren't in this copy", allow_module_level=True)

#: Same interface and imports as the authors' file, and a kernel that no CPU has, asked for as they do.
STAND_IN = """
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from basicsr.utils.registry import ARCH_REGISTRY
from tests.oracle import esc_forward

@ARCH_REGISTRY.register()
class ESC(nn.Module):
    def __init__(self, dim, pdim, kernel_size, n_blocks, conv_blocks, window_size, num_heads, upscaling_factor,
                 exp_ratio=2, attn_type="Flex"):
        super().__init__()
        self.asked = {"scale": upscaling_factor, "window": window_size, "heads": num_heads, "fused": attn_type == "SDPA"}
        assert (dim, pdim, exp_ratio) == (WIDTHS)

    def load_state_dict(self, state):
        self.weights = state

    def forward(self, image):
        with sdpa_kernel(backends=[SDPBackend.EFFICIENT_ATTENTION]):
            return esc_forward(self.weights, image, **self.asked) + OFFSET
"""


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The benchmarks' modules, which find each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    names = ("timing", "quiet", "networks", "candidate", "speed", "speed_tables", "memory")
    before = set(sys.modules)
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in set(sys.modules) - before:
        if name in names or name.partition(".")[0] in ("basicsr", "oracle", "stand_in", "another"):
            del sys.modules[name]


class Clock:
    """A machine whose other programs take so many cores, one number a look."""

    def __init__(self, loads: list[float]) -> None:
        self.loads, self.now, self.all = loads, 0.0, 0.0

    def read(self) -> tuple[float, float, float]:
        return self.now, self.all + 0.7 * self.now, 0.7 * self.now  # ours compute on 0.7 cores

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.all += seconds * self.loads.pop(0)


def others(modules: SimpleNamespace, *loads: float) -> Any:
    clock = Clock(list(loads))
    return modules.quiet.Others(clock.read, clock.sleep)


def test_only_other_programs_count(modules: SimpleNamespace) -> None:
    assert others(modules, 1.5).cores() == pytest.approx(1.5)
    assert others(modules, 0).cores() == 0


@pytest.mark.parametrize("script", ["work()", "import threading; t = threading.Thread(target=work); t.start(); t.join()"])
def test_what_children_compute_is_ours(modules: SimpleNamespace, script: str) -> None:
    work = "import sys, time\ndef work():\n    while time.thread_time() < 0.5: pass\n"
    code = f"{work}{script}\nprint(1, flush=True)\nsys.stdin.read()"
    start = modules.quiet.clocks()
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout
        child.stdout.readline()
        passed, machine, ours = (now - before for now, before in zip(modules.quiet.clocks(), start, strict=True))
        child.communicate()
    assert ours >= 0.45
    assert machine >= ours - 0.1
    assert passed > 0


def test_busy_rounds_are_thrown_away(modules: SimpleNamespace) -> None:
    found, loads, thrown = modules.quiet.quiet_rounds(lambda i: i, 3, others(modules, 0.0, 0.3, 0.05, 1.0, 0.1), cores=2)
    assert (found, thrown) == ([0, 2, 4], 2)
    assert loads == pytest.approx([0.0, 0.05, 0.1])


def test_nothing_is_told_of_a_busy_machine(modules: SimpleNamespace) -> None:
    ran: list[int] = []
    with pytest.raises(modules.quiet.BusyError, match=r"compute on 0\.60 cores, 0\.20 is the most"):
        modules.quiet.quiet_rounds(ran.append, 3, others(modules, 0.6, 0.0, 0.5, 2.0), cores=4)
    assert ran == [0, 1, 2, 3]


def test_what_ends_soon_is_waited_for(modules: SimpleNamespace) -> None:
    modules.quiet.check_quiet(others(modules, *[1.0] * 9, 0.0), cores=2)
    with pytest.raises(modules.quiet.BusyError):
        modules.quiet.check_quiet(others(modules, *[1.0] * 10), cores=2)


def test_company_computes_when_told_and_ends(modules: SimpleNamespace) -> None:
    psutil = pytest.importorskip("psutil")
    with modules.quiet.Company(1) as company:
        child = psutil.Process(company.children[0].pid)
        company.compute(1)
        start = child.cpu_times().user
        while child.cpu_times().user < start + 0.2:
            time.sleep(0.01)
        company.compute(0)
    assert not child.is_running()


def test_a_spread_is_the_median_and_what_lies_around(modules: SimpleNamespace) -> None:
    assert modules.timing.spread([3.0, 1.0, 2.5]) == "2.50 (1.00 to 3.00)"
    assert modules.timing.spread([3.0], ".0f") == "3"
    assert modules.timing.in_turn("abc", 0) == "abc"
    assert modules.timing.in_turn("abc", 1) == "cba"


def test_the_peak_is_that_of_the_run(modules: SimpleNamespace) -> None:
    def run() -> None:
        bytearray(60 * 2**20).find(b"x")

    modules.timing.trim()  # what other tests have freed would be used again
    first = modules.timing.measured(run)
    assert 55 < first.peak / 2**20 < 200
    if sys.platform == "linux":
        assert modules.timing.measured(lambda: None).peak / 2**20 < 30


def timing(speed: ModuleType, work: Any, busy: int, seconds: list[float], cpu: float) -> Any:
    return speed.Timing(work, busy, [speed.Taken(value, cpu, 2**21) for value in seconds], {"flop": 4e9})


def test_ratios_are_of_runs_of_one_round(modules: SimpleNamespace) -> None:
    """The machine was three times as slow in the second round: the ratio of the medians would be 1.5."""
    speed, after = modules.speed_tables, modules.speed.Work("ESC-x2", "float32", 64)
    before = speed.replace(after, checkout="there")
    group = speed.Group([timing(speed, before, 0, [1, 3], 2), timing(speed, after, 0, [0.5, 4.5], 2)], [0.0], 0)
    found = speed.pair(group, group.timings[1], threads=2)
    assert found["after / before"] == "1.00 (0.50 to 1.50)"
    assert found["s, before / after"] == "2.00 / 2.50"
    assert found["peak MiB, before / after"] == "2 / 2"
    assert "beside" not in found
    assert speed.row(group, group.timings[1], 2)["GFLOP/s"] == "2"


def test_the_fair_share_of_a_busy_machine(modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads beside two processes get one of two cores, so that 2 s of all cores are 2 s."""
    speed, work = modules.speed_tables, modules.speed.Work("ESC-x2", "float32", 64)
    idle, busy = timing(speed, work, 0, [1.1], 2), timing(speed, work, 2, [3], 2)
    assert speed.fair_seconds(idle, busy=2, threads=2, cores=2) == 2
    assert speed.fair_seconds(idle, busy=2, threads=2, cores=4) == 1
    assert speed.fair_seconds(idle, busy=2, threads=1, cores=2) == pytest.approx(3)
    monkeypatch.setattr(speed.psutil, "cpu_count", lambda: 2)
    rows = [speed.row(speed.Group([idle, busy], [0.0], 0), each, 2) for each in (idle, busy)]
    lines = speed.table(rows).splitlines()
    assert "| times its fair share |" in lines[0]
    assert "| 1.50 |" in lines[3]
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_a_brief_table_has_a_row_for_each_network(modules: SimpleNamespace) -> None:
    speed = modules.speed_tables
    works = [speed.Work(name, kind, 64) for name in ("ESC-x2", "SPAN-x4") for kind in ("peer", "float32")][:3]
    timings = [timing(speed, work, busy, [1.26 + busy, 9], 2) for work in works for busy in (0, 2)]
    group = speed.Group(timings, [0.0], 0)
    found = speed.brief([group], together=False)
    assert [row["network"] for row in found] == ["ESC-x2", "SPAN-x4"]
    assert found[1] == {"network": "SPAN-x4", "64x64": "5.13", "64x64, beside 2": "6.13"}
    assert found[0]["64x64 float32"] == "5.13"
    beside = speed.brief([group], together=True)
    assert beside[0] == {"network": "ESC-x2", "64x64": "1", "64x64, beside 2": "1"}
    assert beside[1]["64x64, beside 2"] == "1.00 (1.00 to 1.00)"


def test_seconds_of_a_busy_machine_are_left_out(modules: SimpleNamespace) -> None:
    row = dict.fromkeys(("predicted_gib", "peak_gib", "disk_gib", "seconds", "microseconds_per_pixel"), 1.0)
    assert modules.memory.cells(row | {"others": 0.0}).endswith("1.00 | 1.00 | 1.00")
    assert modules.memory.cells(row | {"others": 9.0}) == "1.00 | 1.00 | 1.00 | busy | busy"


def stand_in(folder: Path, offset: float) -> Path:
    path = folder / "stand_in.py"
    path.write_text(STAND_IN.replace("OFFSET", str(offset)).replace("WIDTHS", "32, 16, 1.25"), encoding="utf-8")
    return path


def test_how_far_the_authors_network_is_from_ours_is_told(modules: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "another.py").write_text("class ESCFP: ...", encoding="utf-8")
    told = {}
    for offset in (0, 0.25):
        files = (str(tmp_path / "another.py"), str(stand_in(tmp_path, offset)))
        work = modules.candidate.Work("esc-nano-x2", "authors SDPA", 32, authors=files)
        told[offset] = modules.candidate.difference(work)
    assert told[0] < 1e-4
    assert told[0.25] == pytest.approx(0.25, abs=1e-4)


def test_a_file_without_the_network_is_refused(modules: SimpleNamespace, tmp_path: Path) -> None:
    work = modules.candidate.Work("ESC-FP-x2", "authors SDPA", 32, authors=(str(stand_in(tmp_path, 0)),))
    with pytest.raises(SystemExit, match=r"stand_in\.py'.* has the class ESCFP"):
        modules.candidate.prepare(work)


@pytest.mark.parametrize("name", ["ESC-lt", "x4", "ESC-x5"])
def test_a_network_is_named_with_its_scale(modules: SimpleNamespace, name: str) -> None:
    with pytest.raises(SystemExit, match="named with its scale"):
        modules.networks.named(name)


def run_speed(modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, load: float, *arguments: object) -> None:
    monkeypatch.setattr(modules.speed, "Others", lambda: others(modules, *[load] * 99))
    monkeypatch.setattr(modules.speed, "ceilings", lambda precisions: dict.fromkeys(precisions, 100.0))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(modules.speed.torch, "set_num_threads", lambda count: None)
    common = [
        "--models",
        "esc-nano-x2",
        "--sizes",
        16,
        "--repeat",
        1,
        "--processes",
        1,
        "--kinds",
        "float32",
        "--threads",
        1,
    ]
    monkeypatch.setattr(sys, "argv", ["speed.py", *map(str, [*common, *arguments])])
    modules.speed.main()


def test_no_table_is_written_of_a_busy_machine(
    modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="other programs compute on 99"):
        run_speed(modules, monkeypatch, 99.0, "--json", tmp_path / "speed.json")
    assert capsys.readouterr().out == ""
    assert not list(tmp_path.iterdir())


def test_a_table_beside_the_authors(
    modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file, written = stand_in(tmp_path, 0.25), tmp_path / "speed.json"
    run_speed(modules, monkeypatch, 0.0, "--authors", file, "--json", written, "--busy", 0, 1, "--processes", 2)
    text = capsys.readouterr().out
    assert "esc-nano-x2 authors SDPA: its result differs from ours by 2.5e-01" in text
    assert "Beside on purpose: 0 and 1 processes" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| esc-nano-x2")]
    assert [row[0][2:] for row in rows] == ["esc-nano-x2 authors SDPA", "esc-nano-x2 float32"] * 2
    assert [row[2] for row in rows] == ["0", "0", "1", "1"]
    assert [row[4] == "1" for row in rows] == [True, False, True, False]
    timings = json.loads(written.read_text(encoding="utf-8"))["groups"][0]["timings"]
    assert [len(each["taken"]) for each in timings] == [2] * 4


def test_a_table_beside_another_checkout(
    modules: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="not what is in"):
        run_speed(modules, monkeypatch, 0.0, "--before", tmp_path)
    shutil.copytree(ROOT / "esc_plugin", tmp_path / "esc_plugin", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manifest.yaml", tmp_path)
    run_speed(modules, monkeypatch, 0.0, "--before", tmp_path)
    text = capsys.readouterr().out
    assert "Before is of no commit" in text
    assert "| network | image | s, before / after | after / before |" in text
    assert text.count("| esc-nano-x2 float32 | 16x16 |") == 1
