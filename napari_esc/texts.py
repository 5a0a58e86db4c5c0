"""What the panel says about images, models, tasks and results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esc_plugin.texts import bytes_words, seconds_text

from .geometry import whole_region
from .source import finest, unit_names

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin import CatalogEntry

    from .task import Task
    from .work import Result

SHORT_UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "meter": "m", "pixel": "px"}


def image_text(layer: Image) -> str:
    """Return size, type and pixel size of a layer."""
    sizes = " x ".join(str(part.stop) for part in whole_region(layer))
    unit = unit_names(layer)[-1]
    pixel = " x ".join(dict.fromkeys(f"{abs(float(v)):.4g}" for v in layer.scale[-2:]))
    return f"{sizes}{' RGB' if layer.rgb else ''}, {finest(layer).dtype}, pixel {pixel} {SHORT_UNITS.get(unit, unit)}"


def factor_text(size: tuple[int, int], target: tuple[int, int]) -> str:
    """Return the enlargement of a plane as users write it: ``"x2"``, or ``"x2 x3"`` where height and width differ."""
    rows, columns = (new / old for old, new in zip(size, target, strict=True))
    return f"x{columns:.4g}" if abs(rows - columns) < 0.005 * rows else f"x{rows:.4g} x{columns:.4g}"


def model_text(entry: CatalogEntry) -> str:
    """Return how a model is listed."""
    scale = f" (x{entry.scale})" if entry.scale and f"x{entry.scale}" not in entry.name else ""
    return f"{entry.name}{scale}" + (", download" if entry.source in ("hub", "url") else "")


def card_text(card: dict[str, Any], summary: str = "") -> str:
    """Return what a user should know of a model: what it is for, and what it has seen."""
    training = str(card.get("training", "")).rstrip(".")
    licence = f" Licence: {card['license']}." if card.get("license") else ""
    seen = f"Trained: {training}." if training else "It doesn't say what it was trained on."
    return f"{summary} {seen}{licence}".strip()


def size_text(task: Task) -> str:
    """Return how large a result will be."""
    sizes = " x ".join(f"{n}" for n in task.shape[: len(task.region)])
    return f"{sizes}, {bytes_words(task.nbytes)}"


def progress_text(done: int, total: int, seconds: float) -> str:
    """Return how far a run is, as the text of a progress bar, from the seconds that it has taken so far."""
    return f"%p %, {seconds_text(seconds * (total - done) / done)} left" if done and seconds > 2 else "%p %"


def result_text(task: Task, result: Result, preview: bool) -> str:
    """Return what became of a task."""
    from esc_plugin.measure.surveys import survey_text

    record = result.metadata["esc"]
    kind = "Preview" if preview else "Ready to be looked at" if record.get("lazy") else "Done"
    sampled, text = survey_text(record["survey"]), f"{kind}: {size_text(task)} in {seconds_text(result.seconds)}"
    text += f", {sampled}." if sampled else "."
    if (found := result.agreement) is not None:
        numbers = f"bias {found.bias:+.3g}, RMS {found.rms:.3g} (mean of the input {found.mean:.4g})"
        text += f"<br>Averaged result against input: {numbers}."
    return text
