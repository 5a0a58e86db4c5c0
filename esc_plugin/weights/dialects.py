"""The names that different programs give to the same parameters, as data.

Our network names its parameters as the authors' ESC class does. What other members of the family call otherwise is renamed
on the way in (`to_canonical`) and back on the way out (`to_dialect`), so that their own programs open what we write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor

from ..network import EscConfig
from ..network.heads.registry import HEADS
from ..network.state_dict import Dialect, KeyCondition, State

#: Of whole networks; those of heads stand with the heads.
FP = Dialect(
    KeyCondition.has_all("lk_spatial"),
    (("blocks.{i}.pconvs.{j}.plk.proj.", "blocks.{i}.pconvs.{j}.plk.dwc_proj."),),
)
RIB = Dialect(
    KeyCondition.has_all("upsampler.up_conv.weight"),
    (("upsampler.up_conv.", "to_img."), ("last.0.", "ln_last."), ("last.1.", "last.")),
)


def to_canonical(state: State) -> dict[str, Tensor]:
    """Rename the parameters of any dialect to ours. Unknown names stay as they are."""
    heads = [kind.dialect for kind in HEADS.values() if kind.dialect]
    return _rename(state, [pair for dialect in (*heads, FP, RIB) if dialect.keys.holds(state) for pair in dialect.names])


def to_dialect(state: State, config: EscConfig) -> dict[str, Tensor]:
    """Rename our parameters to those of the program that trains this member of the family."""
    dialect = HEADS[config.head].dialect or _network_dialect(config)
    if dialect is None:
        return dict(state)
    back = [(ours, theirs) for theirs, ours in dialect.names]
    return _rename(state, sorted(back, key=lambda pair: -len(pair[0])))  # an empty prefix fits all


def _network_dialect(config: EscConfig) -> Dialect | None:
    if config.large_kernel == "separable":
        return FP
    return RIB if config.position == "rib" and config.last_norm else None


def _rename(state: State, names: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    patterns = [(_pattern(old), new) for old, new in names]

    def renamed(key: str) -> str:
        for pattern, new in patterns:
            if match := pattern.match(key):
                return new.format(**match.groupdict()) + key[match.end() :]
        return key

    return {renamed(key): value for key, value in state.items()}


def _pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w)\\\}", r"(?P<\1>\\d+)", re.escape(prefix)))
