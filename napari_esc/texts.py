"""What the panel says about images, models, orders and results."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from esc_plugin.texts import bytes_words, printable, seconds_text

from .facts import finest, maybe_channels, unit_names
from .geometry import whole_region

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin import CatalogEntry
    from esc_plugin.session.task import Task
    from esc_plugin.session.work import Estimate, Result

    from .order import Order

SHORT_UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "meter": "m", "pixel": "px"}
#: From here on the panel warns.
LARGE_BYTES, LONG_SECONDS = 2 * 2**30, 120.0


def image_text(layer: Image) -> str:
    """Return size, type and pixel size of a layer, and a hint if it may hold channels that nothing tells from planes."""
    sizes = " x ".join(str(part.stop) for part in whole_region(layer))
    unit = unit_names(layer)[-1]
    pixel = " x ".join(dict.fromkeys(f"{abs(float(v)):.4g}" for v in layer.scale[-2:]))
    about = f"{sizes}{' RGB' if layer.rgb else ''}, {finest(layer).dtype}, pixel {pixel} {SHORT_UNITS.get(unit, unit)}"
    count = maybe_channels(layer)
    hint = f"\nIf the axis of {count} holds channels, split it or name it c (layer.axis_labels): they share levels."
    return about + hint * bool(count)


def model_text(entry: CatalogEntry) -> str:
    """Return how a model is listed."""
    scale = f" (x{entry.scale})" if entry.scale and f"x{entry.scale}" not in entry.name else ""
    return f"{entry.name}{scale}" + (", download" if entry.source in ("hub", "url") else "")


def size_text(order: Order) -> str:
    """Return how large results will be."""
    first, count = order.tasks[0], len(order.tasks)
    return f"{f'{count} times ' if count > 1 else ''}{shape_text(first)}, {bytes_words(order.nbytes)}"


def html_of(text: str) -> str:
    """Return a text for a panel: names come from files, and may hold what HTML means."""
    return escape(printable(text), quote=False)


def shape_text(task: Task) -> str:
    """Return how many pixels a result has."""
    return " x ".join(f"{n}" for n in task.shape[: len(task.region)])


def estimate_text(order: Order, estimates: Sequence[Estimate] = ()) -> str:
    """Return what an order will make and take; with a warning where that is much."""
    text, seconds = f"Result: {size_text(order)}", sum(it.seconds for it in estimates)
    if estimates:
        needs = f"{bytes_words(max(it.memory for it in estimates))} of memory on {estimates[0].device}"
        text += f"<br>About {seconds_text(seconds)} and {needs}."
    if store := order.settings.store:
        text += f"<br>To {html_of(str(store))}."
    warning = "Large." if order.nbytes > LARGE_BYTES else "This takes a while." if seconds > LONG_SECONDS else ""
    return f"<b>{warning}</b> {text}" if warning else text


def progress_text(done: int, total: int, seconds: float) -> str:
    """Return how far a run is, as the text of a progress bar, from the seconds that it has taken so far."""
    return f"%p %, {seconds_text(seconds * (total - done) / done)} left" if done and seconds > 2 else "%p %"


def results_text(order: Order, results: Sequence[Result], preview: bool = False) -> str:
    """Return what became of an order."""
    from esc_plugin.session.views import survey_text

    first = results[0]
    kind = "Preview" if preview else "Ready to be looked at" if first.record.get("lazy") else "Done"
    made = shape_text(first.task) if len(results) == 1 else f"{len(results)} layers"
    lines = [f"{kind}: {made} in {seconds_text(sum(result.seconds for result in results))}."]
    for (source, _), result in zip(order.parts, results, strict=True):
        name = f"{html_of(source.name)}: " if len(results) > 1 else ""
        if sampled := "survey" in result.record and survey_text(result.record["survey"]):
            lines.append(f"{name}Surveyed {sampled}.")
        if (found := result.agreement) is not None:
            numbers = f"bias {found.bias:+.3g}, RMS {found.rms:.3g} (mean of the input {found.mean:.4g})"
            lines.append(f"{name}Averaged result against input: {numbers}.")
    return "<br>".join(lines)
