"""What the widgets of the upscale nodes say. It runs without ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..esc_plugin.arrays.framing import Framing
from ..esc_plugin.device import PRECISIONS
from ..esc_plugin.errors import EscError
from ..esc_plugin.texts import quoted
from .size_question import asked_for

AUTO = "auto"
#: Menus, whose first choice is the usual one: the number format, and how often the model runs.
MENUS = {"precision": (AUTO, *PRECISIONS), "passes": (AUTO, "1", "2", "3")}
#: The largest value of numbers that the core isn't asked about: GiB, and a share.
MOST = {"memory_limit": 1024, "second_share": 1}
#: Widgets that are options of `esc_plugin.Upscaler.__call__`, and those that are attributes of `Options`.
CORE = ("strength", "consistency", "linear_light", "alpha")
OWN = ("mask", "memory_limit", "precision", "second_model", "second_share")


@dataclass(frozen=True)
class Options:
    """The values of the widgets.

    Attributes
    ----------
    framing : Framing
        How large the results shall be.
    core : dict
        Options of `esc_plugin.Upscaler.__call__`.
    mask : Tensor, optional
        Where the model counts, (B, h, w) in 0..1.
    memory_limit : float
        In GiB; 0 for automatic.
    precision : str
        See `esc_plugin.Upscaler`.
    second_model, second_share
        Another model, and how much of it is in the result.
    """

    framing: Framing = field(default_factory=Framing)
    core: dict[str, Any] = field(default_factory=dict)
    mask: Tensor | None = None
    memory_limit: float = 0.0
    precision: str = "auto"
    second_model: Any = None
    second_share: float = 0.5

    @classmethod
    def of(cls, widgets: Mapping[str, Any]) -> Options:
        """Return what widgets say.

        Raises
        ------
        EscError
            If one of them is none of its menu, or out of its range; hosts don't always check that.
        """
        for name, known in MENUS.items():
            if (value := str(widgets.get(name, known[0]))) not in known:
                raise EscError(f"{name} is {quoted(value)}; it must be one of {', '.join(known)}.")
        for name, most in MOST.items():
            if not 0 <= (value := widgets.get(name, 0)) <= most:  # NaN isn't
                raise EscError(f"{name} is {quoted(value)}; it must be from 0 to {most}.")
        framing = asked_for(widgets.get("size"), widgets)
        core, own = ({name: widgets[name] for name in names if name in widgets} for names in (CORE, OWN))
        passes = str(widgets.get("passes", AUTO))
        if passes != AUTO:
            core["passes"] = int(passes)
        elif framing.scale is not None and framing.scale <= 1:  # whoever asks for a factor wants the model to run
            core["passes"] = 1
        return cls(framing, core, **own)

    @property
    def told_passes(self) -> int | None:
        """How often the model shall run, None for as often as needed; not at all if nothing of it is wanted."""
        return self.core.get("passes") if self.core.get("strength", 1.0) else 0

    @property
    def limit_bytes(self) -> int | None:
        """The memory limit in bytes, None for automatic."""
        return int(self.memory_limit * 2**30) or None
