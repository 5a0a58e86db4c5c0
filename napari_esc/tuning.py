"""A fine-tuning as it was set up, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from esc_plugin import Cancelled
from esc_plugin.arrays.lazy import sliceable
from esc_plugin.catalog.purposes import PURPOSES
from esc_plugin.device import limited_threads
from esc_plugin.progress import Cancel, Progress
from esc_plugin.session.task import letters_of
from esc_plugin.train.sources import ImageArray
from esc_plugin.train.split import held_out_text

from .preferences import preference
from .source import finest

if TYPE_CHECKING:
    from napari.layers import Image

    from esc_plugin.train.wish import HeldOutGain, Outcome

#: Kinds of images that a model can be made for, and how small ones are made of them; no reduction makes a bad photo of one.
KINDS = {it.key: "microscopy" if it.broader else "photo" for it in PURPOSES if it.key != "real photo"}


@dataclass
class Tuning:
    """What to do; see `esc_plugin.train.wish.Wish`.

    Attributes
    ----------
    images : list of ImageArray
        To learn from.
    model : str
        To start from.
    purpose : str
        One of `KINDS`.
    minutes : float
        For all of it.
    folder : Path
        Where the new model goes; its name is the model's.
    gain : HeldOutGain, optional
        What was measured last.
    ending : Event
        Set it to end the training, and keep what was learned.
    """

    images: list[ImageArray]
    model: str
    purpose: str
    minutes: float
    folder: Path
    device: str = field(default_factory=lambda: preference("device"))
    threads: int = field(default_factory=lambda: preference("threads"))
    gain: HeldOutGain | None = None
    ending: Event = field(default_factory=Event)

    def run(self, progress: Progress, cancel: Cancel) -> Outcome:
        """Do it, in a thread: `gain` is left for the window's thread to read."""
        from esc_plugin.train.finetune import Wish, finetune

        wish = Wish(self.model, KINDS[self.purpose], self.minutes, device=self.device, purpose=self.purpose)
        stop = self.ending.is_set
        try:
            with limited_threads(self.threads):
                return finetune(self.images, wish, self.folder, progress, gain=self._measured, stop=stop, cancel=cancel)
        except KeyboardInterrupt:  # which no thread may end with
            raise Cancelled("it was stopped before anything was learned.") from None

    def _measured(self, gain: HeldOutGain) -> None:
        self.gain = gain

    @property
    def plan(self) -> str:
        """What will happen.

        Raises
        ------
        ImageError
            If an image is none that can be learned from.
        """
        held_out = f"Held out, never trained on: {held_out_text(self.images)}."
        home, folder = Path.home(), self.folder
        shown = Path("~", folder.relative_to(home)) if folder.is_relative_to(home) else folder
        kept = f"The model goes to {shown}, if it is better than before and than bicubic."
        return f"{held_out} {kept} Pixels stay on this machine."

    @property
    def gain_text(self) -> str:
        """What was measured last."""
        found = self.gain
        text = f"{found.now:.1f} dB; start {found.start:.1f}; bicubic {found.bicubic:.1f}" if found else "not measured yet"
        return f"On held-out parts: {text}."

    def outcome_text(self, outcome: Outcome) -> str:
        """Return what came of it."""
        if outcome.weights is None:
            return f"Not kept: {outcome.problem}. More minutes or more images may help."
        found = outcome.rows()[-1]
        return (
            f"{self.folder.name} is in the menus: on held-out parts {found.after - found.bicubic:+.2f} dB over bicubic "
            f"({found.bicubic:.2f}) and {found.after - found.before:+.2f} dB over its start ({found.before:.2f})."
        )


def images_of(layers: Sequence[Image]) -> list[ImageArray]:
    """Return all pixels of layers at full resolution; nothing is read."""
    return [
        ImageArray(layer.name, sliceable(finest(layer)), letters_of(layer.axis_labels, layer.ndim, layer.rgb))
        for layer in layers
    ]
