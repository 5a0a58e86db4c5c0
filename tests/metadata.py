"""What other files repeat of pyproject.toml and the version; ``python -m tests.metadata`` writes it anew.

``python -m tests.metadata v0.1.0`` prints what CHANGELOG.md says of a version, and fails where that can't be released.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/esc-plugin/esc-plugin"
#: What ComfyUI brings itself: naming it could replace a build that fits the graphics card.
BROUGHT = {"torch", "numpy"}
#: Packages that conda-forge has under another name.
CONDA = {"torch": "pytorch", "huggingface-hub": "huggingface_hub"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pyproject() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def project() -> dict[str, Any]:
    """Return the table [project] of pyproject.toml."""
    return pyproject()["project"]


def make_targets() -> set[str]:
    """Return what the Makefile can be asked for."""
    return set(re.findall(r"^([a-z][\w-]*):", read("Makefile"), re.MULTILINE))


def version() -> str:
    return re.search(r'^__version__ = "(.+)"$', read("esc_plugin/version.py"), re.MULTILINE)[1]  # type: ignore[index]


def name_of(requirement: str) -> str:
    return re.match(r"[\w-]+", requirement)[0]  # type: ignore[index]


def requirements() -> str:
    """Return the text of requirements.txt, which is for ComfyUI."""
    head = read("requirements.txt").partition("\n")[0]
    lines = [line for line in project()["dependencies"] if name_of(line) not in BROUGHT]
    return "\n".join([head, *lines, ""])


def recipe() -> str:
    """Return the text of the recipe for conda, whose package is that of the extra ``cli``: conda knows no extras."""
    extras = project()["optional-dependencies"]
    lines = [*project()["dependencies"], *(line for extra in ("cli", "fast", "files") for line in extras[extra])]
    needed = sorted(in_conda(line) for line in lines if name_of(line) != "esc-plugin")
    lowest = project()["requires-python"].removeprefix(">=")
    text = replaced(read("conda/recipe.yaml"), r'(?<=  version: )".*"', f'"{version()}"')
    text = replaced(text, r'(?<=  python_min: )".*"', f'"{lowest}"')
    listed = "".join(f"    - {line}\n" for line in needed)
    return replaced(text, r"(?<=    - python >=\$\{\{ python_min \}\}\n)(    - .*\n)*", listed)


def in_conda(requirement: str) -> str:
    """Return a requirement in conda's words, without its marker: conda-forge has these packages for all machines."""
    name = name_of(requirement)
    return f"{CONDA.get(name, name)} {requirement.partition(';')[0][len(name) :].strip()}"


def citation() -> str:
    return replaced(read("CITATION.cff"), r"(?<=^version: ).*", version())


def replaced(text: str, pattern: str, new: str) -> str:
    text, count = re.subn(pattern, lambda _: new, text, count=1, flags=re.MULTILINE)
    assert count, f"nothing fits {pattern!r}"
    return text


#: Files that repeat, and what makes their text.
REPEATED = {"requirements.txt": requirements, "conda/recipe.yaml": recipe, "CITATION.cff": citation}


def release_notes(tag: str) -> str:
    """Return what CHANGELOG.md says of the version in the tree, if the tag names that and it has a date."""
    if tag != f"v{version()}":
        raise SystemExit(f"The tag {tag!r} isn't v{version()}, the version of esc_plugin/version.py.")
    heading = rf"^## \[{re.escape(version())}\] - \d{{4}}-\d\d-\d\d\n"
    found = re.search(heading + r"(.*?)(?=^## |\Z)", read("CHANGELOG.md"), re.MULTILINE | re.DOTALL)
    if not found:
        raise SystemExit(f"CHANGELOG.md has no section '## [{version()}] - YYYY-MM-DD', so nothing is released.")
    # A release's page has none of the files beside it.
    return re.sub(r"\]\((?!https?:)", f"]({REPOSITORY}/blob/{tag}/", found[1].strip())


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(release_notes(sys.argv[1]))
    else:
        for name, text in REPEATED.items():
            (ROOT / name).write_text(text(), encoding="utf-8", newline="\n")
