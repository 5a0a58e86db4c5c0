"""The names that different programs give to the same parameters, as data.

Our network names its parameters as the authors' ESC class does. What other members of the family call otherwise is renamed
on the way in (`to_canonical`) and back on the way out (`to_dialect`), so that their own programs open what we write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ..network import EscConfig

#: A dialect is a list of (its prefix pattern, our prefix), applied to the first that matches.
Names = tuple[tuple[str, str], ...]

FP: Names = (("blocks.{i}.pconvs.{j}.plk.proj.", "blocks.{i}.pconvs.{j}.plk.dwc_proj."),)
RIB: Names = (("upsampler.up_conv.", "to_img."), ("last.0.", "ln_last."), ("last.1.", "last."))
LTE: Names = (
    ("encoder.", ""),
    ("coef.", "to_img.coef."),
    ("freq.", "to_img.freq."),
    ("phase.", "to_img.phase."),
    ("imnet.", "to_img.imnet."),
)
DYSAMPLE: Names = tuple((f"to_img.{part}", f"to_img.0.{part}") for part in ("offset.", "scope.", "end_conv.", "init_pos"))


def to_canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of any dialect to ours. Unknown names stay as they are."""
    if "encoder.proj.weight" in state and "coef.weight" in state:
        return _rename(state, LTE)
    names: Names = ()
    if "lk_spatial" in state:
        names += FP
    if "upsampler.up_conv.weight" in state:
        names += RIB
    if "to_img.offset.weight" in state:
        names += DYSAMPLE
    return _rename(state, names)


def to_dialect(state: Mapping[str, Tensor], config: EscConfig) -> dict[str, Tensor]:
    """Rename our parameters to those of the program that trains this member of the family."""
    names: Names = ()
    if config.head == "lte":
        names = tuple(sorted(LTE, key=lambda pair: -len(pair[1])))
    elif config.large_kernel == "separable":
        names = FP
    elif config.position == "rib" and config.last_norm:
        names = RIB
    elif config.head == "dysample":
        names = DYSAMPLE
    return _rename(state, tuple((ours, theirs) for theirs, ours in names))


def _rename(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    patterns = [(_pattern(old), new) for old, new in names]

    def renamed(key: str) -> str:
        for pattern, new in patterns:
            if match := pattern.match(key):
                return new.format(**match.groupdict()) + key[match.end() :]
        return key

    return {renamed(key): value for key, value in state.items()}


def _pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(prefix)))
