"""What the panel says about images, tasks and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esc_plugin.texts import bytes_words, seconds_text

from .geometry import finest, unit_names, whole_region
from .work import LARGE_BYTES, LONG_SECONDS, Estimate

if TYPE_CHECKING:
    from napari.layers import Image

    from .job import Result, Task

SHORT_UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "meter": "m", "pixel": "px"}


def image_words(layer: Image) -> str:
    """Return size, type and pixel size of a layer."""
    sizes = " x ".join(str(part.stop) for part in whole_region(layer))
    unit = unit_names(layer)[-1]
    pixel = " x ".join(dict.fromkeys(f"{abs(float(v)):.4g}" for v in layer.scale[-2:]))
    return f"{sizes}{' RGB' if layer.rgb else ''}, {finest(layer).dtype}, pixel {pixel} {SHORT_UNITS.get(unit, unit)}"


def size_words(task: Task) -> str:
    """Return how large a result will be."""
    sizes = " x ".join(f"{n}" for n in task.shape[: len(task.region)])
    return f"{sizes}, {bytes_words(task.nbytes)}"


def estimate_words(task: Task, estimate: Estimate | None) -> str:
    """Return what a task will make and take; with a warning where that is much."""
    text = f"Result: {size_words(task)}"
    if estimate:
        text += (
            f"<br>About {seconds_text(estimate.seconds)} and {bytes_words(estimate.memory)} of memory on {estimate.device}."
        )
    warning = "Large." if task.nbytes > LARGE_BYTES else ""
    if not warning and estimate and estimate.seconds > LONG_SECONDS:
        warning = "This takes a while."
    return f"<span style='color: #e8a33d'><b>{warning}</b> {text}</span>" if warning else text


def left_words(done: int, total: int, seconds: float) -> str:
    """Return how far a run is, as the text of a progress bar, from the seconds that it has taken so far."""
    return f"%p %, {seconds_text(seconds * (total - done) / done)} left" if done and seconds > 2 else "%p %"


def result_words(task: Task, result: Result, preview: bool) -> str:
    """Return what became of a task."""
    text = f"{'Preview' if preview else 'Done'}: {size_words(task)} in {seconds_text(result.seconds)}."
    if result.agreement:
        bias, rms, mean = result.agreement
        text += f"<br>Averaged result against input: bias {bias:+.3g}, RMS {rms:.3g} (mean of the input {mean:.4g})."
    return text
