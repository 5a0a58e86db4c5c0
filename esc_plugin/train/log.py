"""What a training tells: a CSV file, and the curve in the end."""

from __future__ import annotations

import csv
from pathlib import Path

from ..disk import replacing

COLUMNS = ("iteration", "seconds", "learning_rate", "loss", "psnr", "bicubic")


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
