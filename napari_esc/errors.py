"""What is shown in the viewer after work: layers, and one message per error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esc_plugin import EscError

from .layers import difference_layer, result_layer

if TYPE_CHECKING:
    from napari.layers import Image

    from .job import Result, Task


def add_result(viewer: Any, task: Task, result: Result) -> Image:
    """Add a result to the viewer, and its difference if there is one."""
    layer = viewer.add_layer(result_layer(task, result))
    if result.difference is not None:
        shown = viewer.add_layer(difference_layer(task, result))
        shown.visible = False
        viewer.layers.selection.active = layer
    return layer


def show_problem(error: Exception) -> None:
    """Tell the user once what went wrong: our own errors by their text, others with everything that helps to report them."""
    from napari.utils.notifications import notification_manager, show_error

    if (text := plain_text(error)) is not None:
        show_error(text)
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


def plain_text(error: Exception) -> str | None:
    """Return what to tell of an error that needs no traceback, ``None`` of others."""
    if isinstance(error, EscError):
        text = str(error)
        return text[:1].upper() + text[1:]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "There isn't enough memory. Choose a smaller region, or a file for the result."
    if isinstance(error, OSError):  # a full disk, a folder that can't be written to, a share that went away
        return str(error)
    return None
