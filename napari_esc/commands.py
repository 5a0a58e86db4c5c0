"""Menu commands without a panel."""

from __future__ import annotations

import napari.viewer
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning

from esc_plugin import EscError, list_models
from esc_plugin.session.task import Settings

from .geometry import whole_region
from .preferences import memory_limit, preference


def upscale_x2(viewer: napari.viewer.Viewer) -> None:
    """Upscale the active image layer by two, all planes, with the first model on offer that needs no download."""
    from .errors import show_error
    from .jobs import Job, queue
    from .layers import add_results, hide_replaced
    from .order import Order
    from .texts import too_large

    layer = viewer.layers.selection.active
    if not isinstance(layer, Image):
        show_warning("Select an image layer to upscale.")
        return
    model = next(entry.name for entry in list_models() if entry.scale == 2 and entry.bundled)
    limits = {"device": preference("device"), "memory_limit": memory_limit(), "threads": preference("threads")}
    try:
        order = Order.of([(layer, whole_region(layer))], lambda layer: Settings(model, (2.0, 2.0), **limits))
        if too_large(order.nbytes):
            show_warning("The result would not fit into memory. The panel 'Upscale with ESC...' can write it to a file.")
            return
        job = Job(order.run, order, f"ESC {order.title}", ("run", order.identity))
        job.finished.connect(lambda job, results: hide_replaced(viewer, order, add_results(viewer, order, results)))
        job.failed.connect(lambda job, error: show_error(error))
        job.cancelled.connect(lambda job: show_info("Cancelled."))
        queue.add(job)
    except EscError as error:
        show_error(error)
