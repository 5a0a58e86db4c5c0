"""The heads there are. Their order means nothing: what one is detected by, no other has."""

from __future__ import annotations

from ..config import EscConfig
from ..state_dict import State
from .bicubic import BICUBIC
from .classic import CLASSIC
from .dysample import DYSAMPLE
from .head import Head, HeadKind
from .lte import LTE
from .neosr import NEOSR
from .real import REAL
from .uni import UNI

HEADS: dict[str, HeadKind] = {kind.name: kind for kind in (CLASSIC, BICUBIC, REAL, NEOSR, DYSAMPLE, UNI, LTE)}


def head_kind(config: EscConfig) -> HeadKind:
    """Return the head that a configuration names.

    Raises
    ------
    ValueError
        If there is none of that name, or it can't be built so.
    """
    if config.head not in HEADS:
        raise ValueError(f"head={config.head!r} is not one of {', '.join(sorted(HEADS))}.")
    kind = HEADS[config.head]
    if config.unshuffle > 1 and not kind.deep_skip:
        raise ValueError(f"unshuffle={config.unshuffle!r} is impossible for head={config.head!r}, which adds the image.")
    kind.check(config)
    return kind


def make_head(config: EscConfig) -> Head:
    """Build the head that `config` names; errors are those of `head_kind`."""
    return head_kind(config).make(config)


def find_head(state: State) -> HeadKind:
    """Return the head that a canonical state dict is of.

    Raises
    ------
    ValueError
        If none fits, or more than one.
    """
    fitting = [kind for kind in HEADS.values() if kind.keys.holds(state)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ValueError(f"its head could be {' or '.join(kind.name for kind in fitting)}")
    some = ", ".join(repr(key) for key in sorted(state) if key.startswith("to_img"))[:200] or "no 'to_img'"
    raise ValueError(f"its head ({some}) is none of {', '.join(sorted(HEADS))}")
