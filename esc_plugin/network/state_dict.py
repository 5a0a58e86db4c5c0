"""What can be asked of a state dict: which parameters it has, of which shapes, and what other programs call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class KeyCondition:
    """A condition on the names in a state dict, as data (the idea is spandrel's).

    Attributes
    ----------
    quantity : {"all", "any", "none"}
        How many of the parts must hold.
    parts : tuple of str or KeyCondition
        Names, or conditions.
    """

    quantity: Literal["all", "any", "none"]
    parts: tuple[str | KeyCondition, ...]

    @classmethod
    def has_all(cls, *parts: str | KeyCondition) -> KeyCondition:
        """Every part must hold."""
        return cls("all", parts)

    @classmethod
    def has_any(cls, *parts: str | KeyCondition) -> KeyCondition:
        """At least one part must hold."""
        return cls("any", parts)

    @classmethod
    def has_none(cls, *parts: str | KeyCondition) -> KeyCondition:
        """No part may hold."""
        return cls("none", parts)

    def holds(self, state: Mapping[str, object]) -> bool:
        """Tell whether a state dict meets the condition."""
        found = (part in state if isinstance(part, str) else part.holds(state) for part in self.parts)
        return all(found) if self.quantity == "all" else any(found) == (self.quantity == "any")


@dataclass(frozen=True)
class Dialect:
    """What another program calls some of the parameters.

    Attributes
    ----------
    keys : KeyCondition
        What a file in this dialect has.
    names : tuple of (str, str)
        Their prefix and ours; the first that fits a name replaces it. ``{i}`` and ``{j}`` stand for numbers.
    """

    keys: KeyCondition
    names: tuple[tuple[str, str], ...]


def shape_of(state: State, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of a parameter.

    Raises
    ------
    KeyError
        If there is no such parameter.
    ValueError
        If it hasn't so many axes, or one of them is empty.
    """
    shape = tuple(state[name].shape)
    if len(shape) != axes or not all(shape):
        raise ValueError(f"{name!r} has shape {shape}, not {axes} axes")
    return shape


def numbered(state: Mapping[str, object], pattern: str, step: int = 1) -> list[str]:
    """Return the names ``pattern.format(0)``, ``pattern.format(step)``, ... up to the first that is missing."""
    keys: list[str] = []
    while (key := pattern.format(len(keys) * step)) in state:
        keys.append(key)
    return keys
