"""Values out of YAML as a dataclass: each must be of a field, of the field's type, and keep the field's rules.

This is our own because no library says what is wrong as well for less: msgspec ignores unknown entries of dataclasses and
doesn't show the value, dacite takes ``true`` for a number, cattrs and pydantic take longer to import than a list of models.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import EscError
from .texts import quoted

T = TypeVar("T")
#: What an error says of a value of another type.
NOT_OF_TYPE = {
    int: "is not a whole number",
    float: "is not a number",
    str: "is not text (put it in quotes)",
    bool: "is not true or false",
}


class Rule(NamedTuple):
    """What a value must keep beside its type; it is part of the type: ``Annotated[int, Rule("must be above 0", ...)]``.

    Attributes
    ----------
    problem : str
        What an error says after the value.
    fits : callable
        Returns something true for a value that keeps the rule. The field's default must.
    """

    problem: str
    fits: Callable[[Any], object]


def one_of(*known: str) -> Rule:
    """Return the rule that a text is one of some."""
    return Rule(f"is not one of {', '.join(known)}", known.__contains__)


Line = Annotated[str, Rule("is not one line of text", lambda text: not re.search(r"[\x00-\x1f\x7f]", text))]


class FieldError(EscError):
    """A value that a field can't have.

    Attributes
    ----------
    field : str
        Its name, of an inner dataclass with a point: ``"optimizer.lr"``, ``"schedule.milestones[1]"``.
    problem : str
        What is wrong, with the value.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}.")
        self.field, self.problem = field, problem


def build(cls: type[T], values: dict[Any, Any]) -> T:
    """Make a dataclass of a mapping.

    Text that reads as a number is one where a number belongs, because YAML takes ``1e-4`` for text. A single value stands
    for a tuple of one. Mappings are copied as they are.

    Raises
    ------
    FieldError
        If an entry is unknown, is missing, has another type, or breaks a rule.
    """
    built: T = _build(cls, values, "")
    check_rules(built)
    return built


def check_rules(value: Any, kind: Any = None, at: str = "") -> None:
    """Raise a `FieldError` if a field of a dataclass, or of one inside it, breaks a rule; types aren't looked at."""
    if is_dataclass(value):
        cls: Any = type(value)
        for name, inner in _kinds(cls).items():
            check_rules(getattr(value, name), inner, _join(at, name))
    elif get_origin(kind) is Annotated:
        kind, *rules = get_args(kind)
        check_rules(value, kind, at)
        for rule in rules:
            if not rule.fits(value):
                shown = list(value) if isinstance(value, tuple) else value
                raise FieldError(at, f"{quoted(shown)} {rule.problem}")
    elif get_origin(kind) is tuple:
        for i, item in enumerate(value):
            check_rules(item, get_args(kind)[0], f"{at}[{i}]")


@lru_cache
def _kinds(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in fields(cls)}


def _build(cls: Any, values: Any, at: str) -> Any:
    if not isinstance(values, dict):
        raise FieldError(at, f"{quoted(values)} is no mapping of entries to values")
    kinds = _kinds(cls)
    for name in values:
        if name not in kinds:
            close = get_close_matches(_join("", name), kinds, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise FieldError(_join(at, name), f"unknown; {hint}known are {', '.join(kinds)}")
    found = {name: _value(kinds[name], value, _join(at, name)) for name, value in values.items()}
    for f in fields(cls):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in found:
            raise FieldError(_join(at, f.name), "missing")
    return cls(**found)


def _join(at: str, name: Any) -> str:
    short = quoted(name).strip("'")
    return f"{at}.{short}" if at else short


def _value(kind: Any, value: Any, at: str) -> Any:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if is_dataclass(kind):
        return _build(kind, value, at)
    if get_origin(kind) in (Union, UnionType):
        kind = next((k for k in get_args(kind) if isinstance(value, get_origin(k) or k)), get_args(kind)[0])
    if get_origin(kind) is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_value(get_args(kind)[0], item, f"{at}[{i}]") for i, item in enumerate(items))
    plain = get_origin(kind) or kind
    found = _number(value) if plain is float else value
    if not isinstance(found, plain) or (isinstance(found, bool) and plain is not bool):
        raise FieldError(at, f"{quoted(value)} {NOT_OF_TYPE.get(plain, 'is not a mapping')}")
    return plain(found)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if isfinite(number) and not isinstance(value, bool) else None
