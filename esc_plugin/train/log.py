"""What a training tells: a CSV file, TensorBoard, a line on the terminal, and the curve in the end."""

from __future__ import annotations

import csv
import time
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..cli.terminal import console, errors
from ..weights.store import replacing

COLUMNS = ("iteration", "seconds", "learning_rate", "loss", "psnr", "bicubic")
#: Seconds between two lines where nobody sees a bar.
QUIET = 30


class Log:
    """The CSV file ``log.csv``.

    Parameters
    ----------
    folder : Path
    iteration : int
        Where the training begins or goes on; rows of a later one, from before a kill, are dropped.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        self.path = folder / "log.csv"
        kept = [row for row in read_log(self.path) if float(row["iteration"]) <= iteration]
        with replacing(self.path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def add(self, row: dict[str, float]) -> None:
        """Write a row at the end; what isn't in `COLUMNS` is for TensorBoard alone."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, extrasaction="ignore").writerow({k: f"{v:.6g}" for k, v in row.items()})


def read_log(path: Path) -> list[dict[str, str]]:
    """Return the rows of a log; none if there is no file. A row that a kill cut off is left out."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if None not in row.values() and row.get("iteration")]


class Bar:
    """A bar that moves where somebody sees it, and a line now and then where not."""

    def __init__(self, name: str) -> None:
        columns = (TextColumn(name), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.description}"), console=errors) if errors.is_terminal else None
        self._told = 0.0
        if self._bar:
            self._task = self._bar.add_task("", total=1.0)
            self._bar.start()

    def show(self, progress: float, row: dict[str, float], *, important: bool = False) -> None:
        """Show how far it is, and figures."""
        psnr = f"  PSNR {row['psnr']:.2f} dB (bicubic {row['bicubic']:.2f})" if "psnr" in row else ""
        text = f"iteration {row['iteration']:,.0f}  loss {row['loss']:.5f}  rate {row['learning_rate']:.2e}{psnr}"
        if self._bar:
            self._bar.update(self._task, completed=progress, description=text)
        if important or (not self._bar and time.monotonic() - self._told > QUIET):
            console.print(
                f"{100 * progress:5.1f} %  {row['seconds'] / 60:6.1f} min  {text}", highlight=False, soft_wrap=True
            )
            self._told = time.monotonic()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()


def draw_curve(log: Path, target: Path, title: str) -> None:
    """Draw loss, learning rate and PSNR over the iterations."""
    from matplotlib.figure import Figure

    rows = read_log(log)
    parts = [name for name in ("loss", "learning_rate", "psnr") if any(row[name] for row in rows)]
    figure = Figure(figsize=(8, 2.4 * len(parts) + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(len(parts), sharex=True, squeeze=False)[:, 0]
    for axis, name in zip(axes, parts, strict=True):
        points = [(float(row["iteration"]), float(row[name])) for row in rows if row[name]]
        axis.plot(*zip(*points, strict=True), marker="." if name == "psnr" else "", linewidth=1)
        axis.set_ylabel({"loss": "loss", "learning_rate": "learning rate", "psnr": "PSNR, dB"}[name])
        axis.grid(alpha=0.3)
        values = [y for _, y in points]
        if name == "loss" and max(values) > 5 * min(values) > 0:
            axis.set_yscale("log")
    axes[-1].set_xlabel("iteration")
    with replacing(target) as beside:
        figure.savefig(beside, dpi=110, format="png")
