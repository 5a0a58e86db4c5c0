"""``--gpu`` and ``--cpu``: short for ``--device``, of every command that has it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import EscError
from .options import Cpu, Gpu

FLAGS = {"gpu": Gpu, "cpu": Cpu}


def with_device_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with a flag for each usual device, after its option ``device``; others as they are."""
    signature = inspect.signature(command, eval_str=True)
    if "device" not in signature.parameters:
        return command

    @functools.wraps(command)
    def with_flags(**options: Any) -> None:
        flags = [name for name in FLAGS if options.pop(name)]
        named = [f"--device {options['device']}"] if options["device"] != "auto" else []
        asked = [*named, *(f"--{name}" for name in flags)]
        if len(asked) > 1:
            raise EscError(f"ask for one device, not for {' and '.join(asked)}.")
        command(**options | ({"device": flags[0]} if flags else {}))

    shown: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        shown.append(parameter)
        if parameter.name == "device":
            shown += [parameter.replace(name=name, annotation=flag, default=False) for name, flag in FLAGS.items()]
    # Both, since typer asks for the one as well as for the other.
    with_flags.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
    with_flags.__annotations__ = command.__annotations__ | FLAGS
    return with_flags
