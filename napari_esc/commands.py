"""Menu commands without a panel."""

from __future__ import annotations

import napari.viewer
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning

from esc_plugin import EscError, list_models

from .geometry import whole_region
from .preferences import memory_limit, preference
from .task import Settings, Task
from .work import upscale_work

_running: set[object] = set()


def upscale_x2(viewer: napari.viewer.Viewer) -> None:
    """Upscale the active image layer by two, all planes, with the first model on offer that needs no download."""
    from .errors import show_error
    from .estimate import too_large
    from .layers import add_result
    from .threads import Runner

    layer = viewer.layers.selection.active
    if not isinstance(layer, Image):
        show_warning("Select an image layer to upscale.")
        return
    model = next(entry.name for entry in list_models() if entry.scale == 2 and entry.bundled)
    settings = Settings(model, (2.0, 2.0), device=preference("device"), memory_limit=memory_limit())
    task = Task.of(layer, whole_region(layer), settings)
    if too_large(task.nbytes):
        show_warning("The result would not fit into memory. Open the panel 'Upscale with ESC...' to write it to a file.")
        return
    runner = Runner()
    runner.finished.connect(lambda made: add_result(viewer, *made))
    runner.failed.connect(show_error)
    runner.cancelled.connect(lambda: show_info("Cancelled."))
    for ended in (runner.finished, runner.failed, runner.cancelled):
        ended.connect(lambda *_: _running.discard(runner))
    try:
        runner.start(upscale_work(task), f"ESC {task.title}", task.identity)
    except EscError as error:
        show_error(error)
        return
    _running.add(runner)
