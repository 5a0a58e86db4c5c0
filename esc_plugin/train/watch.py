"""What is asked and told while a fine-tuning goes on: the gain so far, and whether to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..measure.scores import mean
from ..network import ESC
from ..progress import Cancel, stop_if_asked
from .held_out import HeldOut
from .training import Training
from .wish import HeldOutGain

#: Of the training's time, the share that measuring the gain takes, and the crops it is measured on.
SHARE, CROPS = 1 / 12, 8


class Watch:
    """Called after each iteration, see `esc_plugin.train.callback.After`.

    Parameters
    ----------
    held_out : HeldOut
    before : list of float
        What `HeldOut.measure` found of the start.
    seconds : float
        What measuring a crop takes.
    tell : callable, optional
        ``tell(gain)`` now and then.
    stop : callable, optional
        ``stop() -> bool``: end, and go on with what was learned.
    cancel : callable, optional
        ``cancel() -> bool``: give up.
    """

    def __init__(
        self,
        held_out: HeldOut,
        before: list[float],
        seconds: float,
        tell: Callable[[HeldOutGain], None] | None,
        stop: Cancel | None,
        cancel: Cancel | None,
    ) -> None:
        self.held_out, self.before = held_out, before
        self.tell, self.stop, self.cancel = tell, stop, cancel
        self._due = time.monotonic() + seconds * min(CROPS, len(before)) / SHARE
        self.told(0, before)

    def __call__(self, training: Training) -> bool:
        """Measure if it is time to, and tell whether to end.

        Raises
        ------
        Cancelled
            If `cancel` returned ``True``.
        """
        stop_if_asked(self.cancel)
        if self.tell and time.monotonic() >= self._due:
            begun = time.monotonic()
            network: ESC = training.average.module  # type: ignore[assignment]
            crops = min(CROPS, len(self.before))
            self.told(training.iteration, self.held_out.measure(network, crops, cancel=self.cancel))
            now = time.monotonic()
            self._due = now + (now - begun) / SHARE
        return bool(self.stop and self.stop())

    def told(self, iteration: int, errors: list[float]) -> None:
        """Tell the gain, by what was measured of the network as it is."""
        if self.tell:
            found = mean(self.held_out.scores(self.before, errors))
            self.tell(HeldOutGain(iteration, found.after, found.before, found.bicubic))
