"""YAML as people write it by hand, of bounded size, where no setting depends on the order of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

import yaml

from .errors import EscError
from .texts import quoted

#: A list of 500 models has half of it.
MAX_CHARACTERS = 2**18
#: With each alias written out; a few lines of aliases of aliases may stand for more than any memory holds.
MAX_NODES = 20_000
MAX_DEPTH = 20
MERGE = "tag:yaml.org,2002:merge"

Pair = tuple[yaml.Node, yaml.Node]


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    EscError
        See `parse_yaml`.
    """
    try:
        with path.open("rb") as file:
            return parse_yaml(file.read(4 * MAX_CHARACTERS + 1).decode("utf-8-sig"), str(path))
    except FileNotFoundError:
        raise
    except UnicodeDecodeError:
        raise EscError(f"{path}: this is no YAML: it is not text in UTF-8.") from None
    except (OSError, ValueError) as error:
        raise EscError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}.") from None


def parse_yaml(text: str, name: str) -> Any:
    """Return what a YAML text holds.

    Parameters
    ----------
    name : str
        Of the text, for errors.

    Raises
    ------
    EscError
        If it is damaged or too large, if a mapping or two of its templates (``<<``) define the same key, or if aliases nest
        without end; the text names the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise EscError(f"{name}: it has more than {MAX_CHARACTERS:,} characters, so it is not meant to be read here.")
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except Exception as error:  # PyYAML's parsers of numbers and dates raise anything, and deep nesting RecursionError
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        what = "a mistake" if isinstance(error, _Refused) else "this is no YAML"
        problem = shorten(str(getattr(error, "problem", None) or error), 300)
        raise EscError(f"{name}: {what}{where}: {problem}.") from None


class _Refused(yaml.MarkedYAMLError):
    """It is YAML, but we don't take it."""

    def __init__(self, problem: str, node: yaml.Node) -> None:
        super().__init__(problem=problem, problem_mark=node.start_mark)


class _StrictLoader(yaml.SafeLoader):
    """Looks at the nodes before anything is made of them."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is None:
            return None
        for mapping in list(_written_out(node)):
            if isinstance(mapping, yaml.MappingNode):
                _merge(mapping)
        return node


def _written_out(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield all nodes, as often as aliases repeat them."""
    waiting = [(root, 0)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise _Refused("its parts nest, or repeat each other by aliases, without end", node)
        yield node
        waiting += [(child, depth + 1) for child in _children(node)]


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _merge(mapping: yaml.MappingNode) -> None:
    """Put what its templates (``<<``) define into a mapping.

    PyYAML would do it too, but which of several templates wins, or what a template replaces of its own template's, is not
    the same in all its versions. So templates must not compete, and what a mapping says itself counts.
    """
    own: dict[str, Pair] = {}
    inherited: dict[str, Pair] = {}
    for key, value in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _Refused("a key must be one word or text", key)
        if key.value in own:
            both = f"as {_text(own[key.value][1])} and as {_text(value)}"
            raise _Refused(f"{quoted(key.value)} is there twice, {both}", key)
        own[key.value] = key, value
        for template in _templates(value) if key.tag == MERGE else []:
            _merge(template)
            for inner, setting in template.value:
                other = inherited.setdefault(inner.value, (inner, setting))[1]
                if other is not setting:
                    both = f"as {_text(other)} in one and {_text(setting)} in another"
                    raise _Refused(f"templates define the same key {quoted(inner.value)}, {both}", key)
    mapping.value = [pair for pair in (inherited | own).values() if pair[0].tag != MERGE]


def _templates(value: yaml.Node) -> list[yaml.MappingNode]:
    templates: list[Any] = value.value if isinstance(value, yaml.SequenceNode) else [value]
    for node in templates:
        if not isinstance(node, yaml.MappingNode):
            raise _Refused("what is merged must be a mapping, or a list of mappings", node)
    return templates


def _text(node: yaml.Node) -> str:
    value = quoted(node.value) if isinstance(node, yaml.ScalarNode) else "something with parts"
    return f"{value} (line {node.start_mark.line + 1})"
