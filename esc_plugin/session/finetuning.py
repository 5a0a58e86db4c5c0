"""A fine-tuning as it was set up, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from ..catalog.purposes import find_purpose
from ..device import limited_threads
from ..disk import without_home
from ..errors import Cancelled
from ..progress import Cancel, Progress
from ..texts import sentence

if TYPE_CHECKING:  # importing it needs the extra "train"
    from ..train.sources import ImageArray
    from ..train.wish import HeldOutGain, Outcome


@dataclass
class Finetuning:
    """What to do, and how far it is; see `esc_plugin.train.wish.Wish`.

    Attributes
    ----------
    images : list of ImageArray
        To learn from.
    model : str
        To start from.
    purpose : str
        A key of `esc_plugin.catalog.purposes.PURPOSES` that has a kind.
    minutes : float
        For all of it.
    folder : Path
        Where the new model goes; its name is the model's.
    device, threads
        See `esc_plugin.session.task.Settings`.
    gain : HeldOutGain, optional
        What was measured last.
    notes : list of str
        What the gain doesn't show, see `esc_plugin.train.finetune.finetune`.
    ending : Event
        Set it to end the training, and keep what was learned.
    """

    images: list[ImageArray]
    model: str
    purpose: str
    minutes: float
    folder: Path
    device: str = "auto"
    threads: int = 0
    gain: HeldOutGain | None = None
    notes: list[str] = field(default_factory=list)
    ending: Event = field(default_factory=Event)

    def run(self, progress: Progress, cancel: Cancel) -> Outcome:
        """Do it, in a thread: `gain` is left for the window's thread to read."""
        from ..train.finetune import Wish, finetune  # torch comes with it

        wish = Wish(self.model, find_purpose(self.purpose).kind, self.minutes, device=self.device, purpose=self.purpose)
        asked = {"stop": self.ending.is_set, "cancel": cancel}
        try:
            with limited_threads(self.threads):
                return finetune(
                    self.images, wish, self.folder, progress, gain=self._measured, note=self.notes.append, **asked
                )
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
        from ..train.split import held_out_text

        held_out = f"Held out, never trained on: {held_out_text(self.images)}."
        kept = f"The model goes to {without_home(self.folder)}, if it is better than before and than bicubic."
        return f"{held_out} {kept} Pixels stay on this machine."

    @property
    def gain_text(self) -> str:
        """What was measured last."""
        found = self.gain
        text = f"{found.now:.1f} dB; start {found.start:.1f}; bicubic {found.bicubic:.1f}" if found else "not measured yet"
        return self._with_notes(f"On held-out parts: {text}.")

    def outcome_text(self, outcome: Outcome) -> str:
        """Return what came of it."""
        if outcome.weights is None:
            return f"Not kept: {outcome.problem}. More minutes or more images may help."
        found = outcome.rows()[-1]
        return self._with_notes(
            f"{self.folder.name} is in the menus: on held-out parts {found.after - found.bicubic:+.2f} dB over bicubic "
            f"({found.bicubic:.2f}) and {found.after - found.before:+.2f} dB over its start ({found.before:.2f})."
        )

    def _with_notes(self, text: str) -> str:
        return " ".join([text, *map(sentence, self.notes)])
