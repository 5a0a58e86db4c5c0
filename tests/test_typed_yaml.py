"""Mappings out of YAML as dataclasses: what is taken, and the one line that says what isn't."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from esc_plugin.errors import EscError
from esc_plugin.typed_yaml import FieldError, Rule, build, check_rules, one_of

Edge = Annotated[int, Rule("must be above 0", lambda edge: edge > 0)]


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    edges: Annotated[tuple[Edge, ...], Rule("must be two edges", lambda edges: len(edges) == 2)] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: Annotated[str, one_of("a", "b")]
    inner: Inner = field(default_factory=Inner)
    either: str | dict[str, Any] = ""
    on: bool = False


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"name": "a"}, Outer("a")),
        ({"name": "b", "inner": {"rate": "1e-4", "edges": [3, 4]}}, Outer("b", Inner(1e-4, (3, 4)))),
        ({"name": "a", "inner": {"rate": 2}, "either": {"x": 1}, "on": True}, Outer("a", Inner(2.0), {"x": 1}, True)),
    ],
)
def test_what_is_meant(values: dict[str, Any], expected: Outer) -> None:
    assert build(Outer, values) == expected
    assert type(build(Outer, values).inner.rate) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "name: missing."),
        ({"name": "c"}, "name: 'c' is not one of a, b."),
        ({"name": 3}, "name: 3 is not text (put it in quotes)."),
        ({"name": "a", "iner": {}}, "iner: unknown; did you mean inner? known are name, inner, either, on."),
        ({"name": "a", 3: {}}, "3: unknown; known are name, inner, either, on."),
        ({"name": "a", "inner": {"x": 1}}, "inner.x: unknown; known are rate, edges."),
        ({"name": "a", "inner": [1]}, "inner: [1] is no mapping of entries to values."),
        ({"name": "a", "inner": {"rate": True}}, "inner.rate: True is not a number."),
        ({"name": "a", "inner": {"rate": float("nan")}}, "inner.rate: nan is not a number."),
        ({"name": "a", "inner": {"edges": [1, True]}}, "inner.edges[1]: True is not a whole number."),
        ({"name": "a", "inner": {"edges": [1, 0]}}, "inner.edges[1]: 0 must be above 0."),
        ({"name": "a", "inner": {"edges": 1}}, "inner.edges: [1] must be two edges."),
        ({"name": "a", "either": 3}, "either: 3 is not text (put it in quotes)."),
        ({"name": "a", "on": 1}, "on: 1 is not true or false."),
    ],
)
def test_what_is_refused(values: dict[Any, Any], message: str) -> None:
    with pytest.raises(FieldError) as info:
        build(Outer, values)
    assert str(info.value) == message
    assert isinstance(info.value, EscError)
    assert message == f"{info.value.field}: {info.value.problem}."


def test_rules_hold_for_what_python_makes_too() -> None:
    with pytest.raises(FieldError, match=r"inner\.edges\[0\]: -1 must be above 0"):
        check_rules(Outer("a", Inner(edges=(-1, 2))))
