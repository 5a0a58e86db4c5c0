"""Layers in, layers out: what notebooks and scripts call, and the panel too."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esc_plugin.catalog.by_default import check_choice, default_model
from esc_plugin.progress import Cancel, Progress
from esc_plugin.provenance import is_record
from esc_plugin.session.saved import named
from esc_plugin.session.task import Settings, Task

from .facts import traits_of
from .geometry import Region, whole_region
from .order import Order
from .source import Source
from .writer import LayerData

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.session.work import Result

#: Blendings by which a layer doesn't hide what is under it.
ADDED_UP = ("additive", "minimum", "multiplicative")


def upscale_layers(
    layers: Sequence[Image],
    model: str | None = None,
    *,
    purpose: str = "",
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
    model : str, optional
        A name on offer, a path or a repository of the Hub, see `esc_plugin.load_model`. By default each layer has the
        bundled one for its kind, see `esc_plugin.catalog.by_default.default_model`.
    purpose : str
        Take the bundled model for this kind of images instead: ``"clean"``, ``"photo"``, ``"fluorescence"``.
    factor : float or tuple of float, optional
        New pixels per pixel, or those down and those across; by default the model's own scale. At 1 the
        model runs once, and what it made is shrunk to the size of the layer: it is cleaned.
    region : tuple of slice, optional
        Of the layers' data, a slice with start and stop for each axis but that of RGB samples; by default all. The result of
        a region is that part of the result of all, to the bit.
    progress, cancel : callable, optional
        ``progress(done, total)`` and ``cancel() -> bool``.
    store : str or Path, optional
        OME-Zarr or OME-TIFF image to write the results to, several as its channels. They are then shown from there.
    **options
        Further ones of `esc_plugin.session.task.Settings`: ``intensity``, ``strength``, ``consistency``, ``device``,
        ``memory_limit``, ``threads``, ``sampled``, and ``isotropic``, which puts planes between those of a stack instead.

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
    if options.get("isotropic"):
        factor = 1.0
    path = None if store is None else named(store)
    wishes = partial(_settings, model=model, purpose=purpose, factor=factor, store=path, **options)
    order = Order.of([(layer, region or whole_region(layer)) for layer in layers], wishes)
    results = order.run(progress, cancel)
    return [source.layer_data(result) for (source, _), result in zip(order.parts, results, strict=True)]


def _settings(
    layer: Image, *, model: str | None, purpose: str, factor: float | tuple[float, float] | None, **options: Any
) -> Settings:
    """Return what is wanted of a layer, with the model's own factor if none is asked for."""
    check_choice(model, purpose)
    if not model:
        largest = max(factor) if isinstance(factor, tuple) else factor
        entry, options["reason"], _ = default_model(traits_of(layer), largest, purpose)
        model = entry.name
    if factor is None:
        from esc_plugin.session.loaded import load_on_device

        factor = float(load_on_device(Settings(model, (1, 1), **options)).upscaler.model.scale)
    down, across = factor if isinstance(factor, tuple) else (factor, factor)
    return Settings(model, (float(down), float(across)), **options)


def upscale_layer(layer: Image, model: str | None = None, **options: Any) -> LayerData:
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


def add_results(
    viewer: Any, order: Order, results: Sequence[Result], *, preview: bool = False
) -> tuple[list[Image], list[Image]]:
    """Add results to a viewer, and what differs where that was wanted.

    Returns
    -------
    added, hidden : list of Image
        The results, and the layers that `replaced` names.
    """
    from napari.layers import Layer

    hidden, added = replaced(viewer.layers, order), []
    for (source, _), result in zip(order.parts, results, strict=True):
        renamed = {"name": f"{source.name} preview"} if preview else {}
        added.append(viewer.add_layer(layer_of(source, result, **renamed)))
        _put_above_source(viewer.layers, source)
        if result.difference is not None:
            viewer.add_layer(Layer.create(*source.difference_data(result))).visible = False
    _hide(viewer, hidden, added)
    return added, hidden


def replaced(layers: Sequence[Any], order: Order) -> list[Image]:
    """Return which of a viewer's layers should be hidden, because one would see them and new results at once.

    These are the sources, and earlier results of the same parts of them.
    """
    transparent = [
        (source, task) for source, task in order.parts if source.state["blending"] in ADDED_UP or source.state["opacity"] < 1
    ]
    return [layer for layer in layers if layer.visible and any(_shows(layer, *part) for part in transparent)]


def _hide(viewer: Any, hidden: Sequence[Image], added: Sequence[Image]) -> None:
    """Hide layers until the last of what was added instead is removed."""
    for layer in hidden:
        layer.visible = False
    before, results = [weakref.ref(layer) for layer in hidden], {layer.unique_id for layer in added}

    def removed(event: Any) -> None:
        if results.isdisjoint(layer.unique_id for layer in viewer.layers):
            viewer.layers.events.removed.disconnect(removed)
            for source in before:
                if (layer := source()) is not None and layer in viewer.layers:
                    layer.visible = True

    if hidden:
        viewer.layers.events.removed.connect(removed)


def _put_above_source(layers: Any, source: Source) -> None:
    """Move the last layer above its source and earlier results: above all layers it would cover other channels."""
    *before, last = [index for index, layer in enumerate(layers) if layer.unique_id == source.key or _is_of(layer, source)]
    if before and before[-1] + 1 < last:
        layers.move(last, before[-1] + 1)


def _is_of(layer: Any, source: Source) -> bool:
    """Whether a layer was made of a source."""
    record = layer.metadata.get("esc")
    return is_record(record) and record.get("source_layer") == source.name


def _shows(layer: Any, source: Source, task: Task) -> bool:
    """Whether a layer is a source, or an earlier result of a part that a new one is of too."""
    if layer.unique_id == source.key:
        return True
    if not _is_of(layer, source):
        return False
    shown = layer.metadata["esc"].get("source_region", ())
    return len(shown) == len(task.region) and all(
        start < part.stop and part.start < stop for (start, stop), part in zip(shown, task.region, strict=True)
    )
