"""Run a script as on a machine with torch and little else: ``python -m tests.bare SCRIPT ARGUMENT...``.

Of the packages that are installed, only the named ones and what these need can be imported or asked for their version.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, DistributionFinder, PackageNotFoundError, distribution, packages_distributions
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("torch", "numpy", "safetensors", "huggingface-hub", "pillow", "tifffile", "lightning", "typer", "rich")


def with_needs(names: Iterable[str]) -> set[str]:
    """Return the canonical names of packages and of what they need, as far as it is installed."""
    found: set[str] = set()
    waiting = [(name, frozenset[str]()) for name in names]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(canonicalize_name(name))
        for need in map(Requirement, needs):
            wanted = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""})
            item = canonicalize_name(need.name), frozenset(need.extras)
            if wanted and item not in seen:
                seen.add(item)
                waiting.append(item)
    return found


class Bare:
    """A finder of modules that doesn't know some, and of packages that knows but some."""

    def __init__(self, finder: Any, packages: set[str], hidden: set[str]) -> None:
        self.finder, self.packages, self.hidden = finder, packages, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, path, target)

    def find_distributions(self, context: Any = None) -> Iterator[Distribution]:
        found = getattr(self.finder, "find_distributions", lambda context: ())
        for dist in found(context or DistributionFinder.Context()):
            if canonicalize_name(dist.metadata["Name"]) in self.packages:
                yield dist

    def invalidate_caches(self) -> None:
        getattr(self.finder, "invalidate_caches", lambda: None)()


def make_bare() -> None:
    """Hide everything else from here on."""
    packages = with_needs(PACKAGES)
    hidden = {name for name, of in packages_distributions().items() if not packages & set(map(canonicalize_name, of))}
    hidden -= {"esc_plugin", "napari_esc"}
    sys.meta_path[:] = [Bare(finder, packages, hidden) for finder in sys.meta_path]


if __name__ == "__main__":
    make_bare()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
