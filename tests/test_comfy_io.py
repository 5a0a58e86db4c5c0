"""The stubs' way from what a prompt gives to what a node gets, which is ComfyUI's."""

from __future__ import annotations

from typing import Any

import pytest

from .comfy_io import arguments, make_io


@pytest.mark.parametrize(
    ("given", "got"),
    [
        ({}, {"size": {"size": "as is"}, "note": ""}),
        ({"size": "factor"}, {"size": {"size": "factor", "by": 2.0, "how": "fit"}, "note": ""}),
        ({"size": "factor", "size.by": 3.0}, {"size": {"size": "factor", "by": 3.0, "how": "fit"}, "note": ""}),
        ({"size": "as"}, {"size": {"size": "as", "like": None}, "note": ""}),
        ({"size": "unheard of", "note": "x"}, {"note": "x"}),  # the node gets no size at all
    ],
)
def test_a_choice_and_its_inputs_become_one_dictionary(given: dict[str, Any], got: dict[str, Any]) -> None:
    io = make_io("2026")
    factor = [io.Float.Input("by", default=2.0, min=1, max=4), io.Combo.Input("how", options=["fit", "fill"])]
    like = [io.Image.Input("like", optional=True)]
    options = [
        io.DynamicCombo.Option("as is", []),
        io.DynamicCombo.Option("factor", factor),
        io.DynamicCombo.Option("as", like),
    ]
    size = io.DynamicCombo.Input("size", options=options)
    inputs = [size, io.String.Input("note", default=""), io.Mask.Input("mask", optional=True)]
    assert arguments(inputs, dict(given)) == got


@pytest.mark.parametrize("given", [{"image": 1, "by": 9.0}, {"by": 2.0}, {"image": 1, "size.by": 2.0}])
def test_what_comfyui_refuses_fails(given: dict[str, Any]) -> None:
    io = make_io("2025")
    with pytest.raises(AssertionError):
        arguments([io.Image.Input("image"), io.Float.Input("by", default=2.0, min=1, max=4)], given)


@pytest.mark.parametrize(("generation", "knows"), [("2025", False), ("2026", True)])
def test_what_is_new_is_unknown_before(generation: str, knows: bool) -> None:
    io = make_io(generation)
    assert hasattr(io, "DynamicCombo") == knows
    if knows:
        assert io.Int.Input("n", min=0, max=1, advanced=True).values["advanced"]
    else:
        with pytest.raises(AssertionError, match="advanced"):
            io.Int.Input("n", min=0, max=1, advanced=True)
