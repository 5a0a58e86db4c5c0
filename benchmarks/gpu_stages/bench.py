"""What the stages share: the list of them, the time that is left, rows kept at once, how time and memory are taken."""

from __future__ import annotations

import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

MIB = 2**20
Row = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A function that adds rows to a table, and the most seconds that it may take of all."""

    name: str
    about: str
    seconds: float
    run: Callable[[Bench], None]


STAGES: list[Stage] = []


def stage(about: str, seconds: float) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Put a function into the list of stages, under its name."""

    def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        STAGES.append(Stage(run.__name__, about, seconds, run))
        return run

    return register


@dataclass
class Bench:
    """One call of the benchmark."""

    device: torch.device
    tiny: bool
    out: Path
    until: float
    shared: Path
    found: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    stage_until: float = 0.0

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    def left(self) -> float:
        """Return the seconds that the stage still has."""
        return min(self.until, self.stage_until) - time.monotonic()

    def run(self, stages: Iterable[Stage]) -> None:
        """Do the stages; what fails is noted, and the next goes on."""
        for item in stages:
            begun = time.monotonic()
            self.name, self.stage_until = item.name, begun + item.seconds
            entry = self.found.setdefault("stages", {}).setdefault(item.name, {"about": item.about, "rows": []})
            if begun >= self.until:
                entry["left_out"] = "no time was left"
                continue
            print(f"[{self.until - begun:.0f} s left] {item.name}", flush=True)
            with self.noting(entry):
                item.run(self)
            entry["seconds"] = round(time.monotonic() - begun, 1)
            self.save()
            self.clean()

    @contextmanager
    def noting(self, entry: Row) -> Iterator[None]:
        """Write an error into a row instead of raising it."""
        try:
            yield
        except Exception as error:  # whatever it is, what comes after may work
            entry["error"] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
            entry["traceback"] = traceback.format_exc()[-4000:]
            print(f"  {entry['error']}", flush=True)

    def add(self, **row: Any) -> Row:
        """Add a row to the table of the stage, and keep it."""
        self.found["stages"][self.name]["rows"].append(row)
        print("  " + ", ".join(f"{key} {_short(value)}" for key, value in row.items() if key != "traceback"), flush=True)
        self.save()
        return row

    def save(self) -> None:
        """Write beside, then rename: a call that is killed leaves what it had."""
        beside = self.out / "gpu.json.part"
        beside.write_text(json.dumps(self.found, indent=1, default=str), encoding="utf-8")
        beside.replace(self.out / "gpu.json")

    def clean(self) -> None:
        gc.collect()
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()

    def time(self, runs: dict[str, Callable[[], object]], seconds: float = 1.0, most: int = 50) -> dict[str, Row]:
        """Time functions in alternation after a warm-up.

        Returns
        -------
        dict of str to dict
            For each: milliseconds (``ms``, the median, ``low`` and ``high``, the quartiles) and peak MiB, or ``error``.
        """
        rows: dict[str, Row] = {}
        for label, run in runs.items():
            rows[label] = {}
            with self.noting(rows[label]), torch.inference_mode():
                begun = time.monotonic()
                run()
                self.synchronize()
                rows[label]["first_s"] = round(time.monotonic() - begun, 2)
                rows[label]["mib"] = self.peak(run)
        times: dict[str, list[float]] = {label: [] for label, row in rows.items() if "error" not in row}
        until = time.monotonic() + min(seconds * max(len(times), 1), max(self.left(), 0))
        for n in range(1 if self.tiny else most):
            if n >= 3 and time.monotonic() > until:
                break
            for label in [label for label in times if "error" not in rows[label]]:
                with self.noting(rows[label]):
                    times[label].append(self.once(runs[label]))
        for label, kept in times.items():
            rows[label] |= spread(kept) if kept else {}
        return rows

    def once(self, run: Callable[[], object]) -> float:
        """Return the milliseconds of a call, from its first kernel to its last."""
        with torch.inference_mode():
            if not self.cuda:
                begun = time.perf_counter()
                run()
                return (time.perf_counter() - begun) * 1e3
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            run()
            end.record()
            end.synchronize()
            return start.elapsed_time(end)

    def peak(self, run: Callable[[], object]) -> float | None:
        """Return the MiB that a call takes at most beyond what there is; None on a CPU."""
        if not self.cuda:
            return None
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return round((torch.cuda.max_memory_allocated() - before) / MIB, 1)

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


def spread(values: list[float]) -> Row:
    """Return the median and the quartiles."""
    quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    low, middle, high = (round(q, 4) for q in quartiles)
    return {"ms": middle, "low": low, "high": high, "n": len(values)}


def ratio(rows: dict[str, Row], label: str, base: str) -> float | None:
    """Return how many times as fast `label` is as `base`."""
    mine, its = rows.get(label, {}).get("ms"), rows.get(base, {}).get("ms")
    return round(its / mine, 3) if mine and its else None


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(rows: list[Row]) -> str:
    """Return rows as a table in Markdown, with the columns in the order in which they come up."""
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "traceback"))
    lines = [columns, ["---"] * len(columns), *[[_short(row.get(key, "")) for key in columns] for row in rows]]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
