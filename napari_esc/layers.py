"""Layers in, layers out: what notebooks and scripts call, and the panel too."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esc_plugin.progress import Cancel, Progress
from esc_plugin.session.task import Settings

from .geometry import Region, whole_region
from .order import Order, Source
from .writer import LayerData

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.session.work import Result

#: Blendings by which a layer doesn't hide what is under it.
ADDED_UP = ("additive", "minimum", "multiplicative")
DEFAULT_MODEL = "esc-nano-x2"


def upscale_layers(
    layers: Sequence[Image],
    model: str = DEFAULT_MODEL,
    *,
    factor: float | tuple[float, float] | None = None,
    region: Region | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    store: str | Path | None = None,
    **options: Any,
) -> list[LayerData]:
    """Upscale image layers, each with levels of intensity of its own.

    Parameters
    ----------
    layers : sequence of napari.layers.Image
        They aren't changed.
    model : str
        A name on offer, a path or a repository of the Hub, see `esc_plugin.load_model`.
    factor : float or tuple of float, optional
        New pixels per pixel, or those down and those across; by default the model's own scale.
    region : tuple of slice, optional
        Of the layers' data, a slice with start and stop for each axis but that of RGB samples; by default all. The result of
        a region is that part of the result of all, to the bit.
    progress, cancel : callable, optional
        ``progress(done, total)`` and ``cancel() -> bool``.
    store : str or Path, optional
        OME-Zarr image to write the result to. It is then shown from there.
    **options
        Further ones of `esc_plugin.session.task.Settings`: ``intensity``, ``consistency``, ``device``, ``memory_limit``,
        ``threads``, ``sampled``.

    Returns
    -------
    list of tuple
        ``(data, keyword arguments, "image")`` for each layer, which lies exactly on its source and looks like it:
        ``viewer.add_layer(napari.layers.Layer.create(*made))``.

    Raises
    ------
    EscError
        If it can't be done; nothing is left behind.
    """
    if factor is None:
        factor = float(_scale_of(Settings(model, (1, 1), **options)))
    down, across = factor if isinstance(factor, tuple) else (factor, factor)
    path = None if store is None else Path(expanduser(store)).absolute()  # noqa: PTH111
    settings = Settings(model, (float(down), float(across)), store=path, **options)
    order = Order.of([(layer, region or whole_region(layer)) for layer in layers], lambda layer: settings)
    return order.layer_data(order.run(progress, cancel))


def upscale_layer(layer: Image, model: str = DEFAULT_MODEL, **options: Any) -> LayerData:
    """Upscale an image layer, see `upscale_layers` for all parameters."""
    return upscale_layers([layer], model, **options)[0]


def layer_of(source: Source, result: Result, **state: Any) -> Image:
    """Return the layer of a result, between the same contrast limits as its source."""
    from napari.layers import Image

    data, properties, _ = source.layer_data(result)
    layer = Image(data, **properties | state)
    if source.limits is not None:
        layer.contrast_limits_range, layer.contrast_limits = source.limits, properties["contrast_limits"]
    return layer


def add_results(viewer: Any, order: Order, results: Sequence[Result], *, preview: bool = False) -> list[Image]:
    """Add results to a viewer, and what differs where that was wanted."""
    from napari.layers import Layer

    added = []
    for (source, _), result in zip(order.parts, results, strict=True):
        renamed = {"name": f"{source.name} preview"} if preview else {}
        added.append(viewer.add_layer(layer_of(source, result, **renamed)))
        if result.difference is not None:
            viewer.add_layer(Layer.create(*source.difference_data(result))).visible = False
    return added


def hide_replaced(viewer: Any, order: Order, added: Sequence[Image]) -> list[Image]:
    """Hide the sources that would be seen through their results, until the last of those is removed; return them."""
    hidden = _replaced(viewer.layers, order)
    for layer in hidden:
        layer.visible = False
    sources, results = [weakref.ref(layer) for layer in hidden], {layer.unique_id for layer in added}

    def removed(event: Any) -> None:
        if results.isdisjoint(layer.unique_id for layer in viewer.layers):
            viewer.layers.events.removed.disconnect(removed)
            for source in sources:
                if (layer := source()) is not None and layer in viewer.layers:
                    layer.visible = True

    if hidden:
        viewer.layers.events.removed.connect(removed)
    return hidden


def _replaced(layers: Sequence[Any], order: Order) -> list[Image]:
    keys = {source.key for source, _ in order.parts if source.state["blending"] in ADDED_UP or source.state["opacity"] < 1}
    return [layer for layer in layers if layer.unique_id in keys and layer.visible]


def _scale_of(settings: Settings) -> int:
    from esc_plugin.session.loaded import load_on_device

    return load_on_device(settings).upscaler.model.scale
