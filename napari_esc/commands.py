"""Menu commands without a panel."""

from __future__ import annotations

import napari.viewer
from napari.layers import Image
from napari.utils.notifications import show_info, show_warning

from esc_plugin import EscError
from esc_plugin.catalog.by_default import default_model
from esc_plugin.session.task import Settings

from .facts import traits_of
from .geometry import whole_region
from .preferences import limits


def upscale_x2(viewer: napari.viewer.Viewer) -> None:
    """Upscale the active image layer by two, all planes, with the bundled model for its kind of images."""
    from .errors import show_error
    from .jobs import Job, queue
    from .layers import add_results
    from .order import Order

    layer = viewer.layers.selection.active
    if not isinstance(layer, Image):
        show_warning("Select an image layer to upscale.")
        return
    try:
        entry, reason, _ = default_model(traits_of(layer), 2.0)
        settings = Settings(entry.name, (2.0, 2.0), **limits(), reason=reason)
        order = Order.of([(layer, whole_region(layer))], lambda layer: settings)
        if order.too_large:
            show_warning("The result would not fit into memory. The panel 'Upscale with ESC...' can write it to a file.")
            return
        job = Job(order.run, order, f"ESC {order.title}", ("run", order.identity))
        job.finished.connect(lambda job, results: add_results(viewer, order, results))
        job.failed.connect(lambda job, error: show_error(error))
        job.cancelled.connect(lambda job: show_info("Cancelled."))
        queue.add(job)
    except EscError as error:
        show_error(error)
