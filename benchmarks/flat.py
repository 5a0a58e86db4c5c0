"""Nothing invented: what models make of an even light with photon noise, and the table in ``docs/models.md``.

``python benchmarks/flat.py`` measures every bundled model and writes the table; with models (names, files) it only prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence

from kinds import PAGE, bundled, filled

from esc_plugin import Upscaler
from esc_plugin.disk import write_text
from esc_plugin.measure.flat import Field, Findings, fields, measure

HEAD = "| model | made for | standard deviation | power | bias, % | nothing invented |\n" + "|---" * 6 + "|"


def fields_for(purpose: str) -> Iterable[Field]:
    """Return the fields of gray images, and of a camera's colours for a model that sees them."""
    yield from fields()
    if purpose in ("brightfield", "microscopy"):
        yield from fields(samples=3, bits=(8,))


def measured(model: str) -> tuple[str, str, list[Findings]]:
    """Measure a model on every field, and print a row for each; return its name and purpose too."""
    upscaler = Upscaler(model, device="cpu", precision="float32")
    name, purpose = upscaler.model.name, upscaler.model.card.get("purpose", "")
    found = []
    for field in fields_for(purpose):
        found.append(one := measure(upscaler, field))
        print(f"| {name} | {field} | {one.deviation:.3f} | {one.power:.3f} | {100 * one.bias:+.3f} |", flush=True)
    return name, purpose, found


def row(name: str, purpose: str, found: Sequence[Findings]) -> str:
    """Return the worst of each figure, and of what."""
    deviation = max(found, key=lambda one: one.deviation)
    power = max(found, key=lambda one: one.power)
    bias = max(found, key=lambda one: abs(one.bias))
    cells = [
        name,
        purpose,
        f"{deviation.deviation:.2f} ({deviation.field})",
        f"{power.power:.2f} ({power.field})",
        f"{100 * bias.bias:+.3f} ({bias.field})",
        "**no**" if any(one.invents for one in found) else "yes",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help="by default every bundled one, for the page")
    asked = parser.parse_args().models
    filled(PAGE.read_text(encoding="utf-8"), "flat.py", "")  # whether it can be written, before the work
    print("| model | field | standard deviation | power | bias, % |\n" + "|---" * 5 + "|")
    rows = [row(*measured(model)) for model in asked or [entry.name for entry in bundled()]]
    table = "\n".join([HEAD, *rows, ""])
    print(f"\n{table}", end="")
    if not asked:
        write_text(PAGE, filled(PAGE.read_text(encoding="utf-8"), "flat.py", table))


if __name__ == "__main__":
    main()
