"""Detection: from a state dict back to the configuration that made it, for every family."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esc_plugin.catalog.load import load_model
from esc_plugin.errors import CheckpointError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.weights.convert import convert
from esc_plugin.weights.detect import detect
from esc_plugin.weights.dialects import to_canonical, to_dialect
from esc_plugin.weights.model import build_network


@st.composite
def configs(draw: st.DrawFn) -> EscConfig:
    """Draw a configuration of any family."""
    heads = draw(st.sampled_from([1, 2, 4]))
    dim = 4 * heads * draw(st.integers(1, 2))
    values = {
        "dim": dim,
        "pdim": draw(st.sampled_from([4, dim])),
        "kernel_size": draw(st.sampled_from([3, 7, 13])),
        "n_blocks": draw(st.integers(1, 3)),
        "conv_blocks": draw(st.integers(1, 3)),
        "window_size": draw(st.integers(2, 9)),
        "num_heads": heads,
        "proj_hidden": draw(st.integers(1, 40)),
        "conv_hidden": draw(st.integers(1, 40)),
    }
    family = draw(st.sampled_from(["classic", "fp", "rib", "lte", "real", "neosr", "dysample", "uni"]))
    if family == "rib":
        rib = {"position": "rib", "position_rank": draw(st.integers(1, 5)), "rib_hidden": 6, "rib_freqs": 3}
        return EscConfig(**values | rib | {"window_size": 64, "last_norm": True, "scale": draw(st.integers(1, 4))})
    values |= draw(st.sampled_from([{}, {"position": "flash", "position_rank": 3}]))
    if family == "fp":
        return EscConfig(
            **values,
            scale=draw(st.integers(1, 4)),
            conv_norms=True,
            last_norm=True,
            large_kernel="separable",
            head="bicubic",
        )
    values["conv_norms"] = draw(st.booleans())
    if family == "classic":
        return EscConfig(**values, scale=draw(st.integers(1, 4)))
    if family == "lte":
        return EscConfig(**values, scale=4, head="lte", mid_dim=8, mlp_hidden=(6, 5))
    if family == "real":
        return EscConfig(**values, scale=4, head="real")
    if family == "neosr":
        return EscConfig(**values, scale=draw(st.sampled_from([2, 4])), head="neosr")
    if family == "dysample":
        kernel = draw(st.sampled_from([1, 3]))
        return EscConfig(**values, scale=draw(st.integers(2, 4)), head="dysample", dysample_kernel=kernel)
    return draw(uni_configs(values))


@st.composite
def uni_configs(draw: st.DrawFn, values: dict) -> EscConfig:
    """Draw the head of an ESC-Real-M."""
    version = draw(st.sampled_from([2, 3]))
    old = ["conv", "pixelshuffledirect", "pixelshuffle", "nearest+conv", "dysample"]
    method = draw(st.sampled_from(old if version == 2 else [*old, "transpose+conv", "pa_up"]))
    folded = draw(st.sampled_from([1, 2, 4])) if method != "conv" else 1
    scale = 4 // folded if folded > 1 else draw(st.sampled_from([1] if method == "conv" else [2, 3, 4]))
    mid = draw(st.sampled_from([values["dim"], 12]))
    return EscConfig(
        **values,
        scale=scale,
        unshuffle=folded,
        head="uni",
        uni_method=method,
        uni_version=version,
        mid_dim=mid,
        dysample_kernel=1 if method == "dysample" else 0,
    )


@settings(max_examples=75)
@given(configs())
def test_round_trip(config: EscConfig) -> None:
    with torch.device("meta"):
        state = ESC(config).state_dict()
    if "to_img.MetaUpsample" in state:
        state["to_img.MetaUpsample"] = ESC(config).state_dict()["to_img.MetaUpsample"]
    foreign = to_dialect(state, config)
    assert detect(to_canonical(foreign)) == config
    assert EscConfig.from_dict(config.to_dict()) == config


@settings(max_examples=10)
@given(configs())
def test_what_is_detected_runs(config: EscConfig) -> None:
    network = ESC(config).eval().requires_grad_(False)
    rebuilt = build_network(to_dialect(network.state_dict(), config))
    image = torch.rand(1, 3, 7, 10)
    assert torch.allclose(rebuilt(image), network(image), atol=1e-5)


def classic() -> dict[str, torch.Tensor]:
    config = EscConfig(dim=8, pdim=4, n_blocks=1, conv_blocks=1, window_size=4, num_heads=2, proj_hidden=8, conv_hidden=8)
    return ESC(config).state_dict()


def uni(**values: object) -> dict[str, torch.Tensor]:
    shape = {"dim": 8, "pdim": 4, "n_blocks": 1, "conv_blocks": 1, "window_size": 4, "num_heads": 2}
    config = EscConfig(**shape, head="uni", uni_method="conv", uni_version=3, scale=1, mid_dim=8)
    state = ESC(config).state_dict()
    meta = state["to_img.MetaUpsample"].clone()
    for index, value in values.items():
        meta[int(index.removeprefix("m"))] = value
    return state | {"to_img.MetaUpsample": meta}


def changed(**values: torch.Tensor | None) -> dict[str, torch.Tensor]:
    state = classic() | {k.replace("__", "."): v for k, v in values.items() if v is not None}
    for key in [k.replace("__", ".") for k, v in values.items() if v is None]:
        del state[key]
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "no ESC network.*nothing"),
        ({"conv.weight": torch.zeros(3)}, "no ESC network.*conv.weight"),
        (changed(last__bias=None), "'last.bias' is missing"),
        (changed(extra=torch.zeros(1)), "'extra' is not part"),
        (changed(last__bias=torch.zeros(9)), r"'last.bias' has shape \(9,\), not \(8,\)"),
        (changed(blocks__0__attn__relative_position_bias=None), "can't be one"),
        (changed(to_img__weight=None), "can't be one"),
        (changed(plk_filter=torch.zeros(4, 4, 2, 2)), "kernel_size=2"),
        (changed(plk_filter=torch.zeros(4, 4, 13)), r"'plk_filter' has shape \(4, 4, 13\), not 4 axes"),
        (changed(last__bias=torch.zeros(8, dtype=torch.uint8)), "'last.bias' holds torch.uint8, not torch.float32"),
        (uni(m2=0) | {"to_img.MetaUpsample": torch.zeros(7)}, "not 7 bytes"),
        (changed(last__weight=torch.empty(10**6, 8, 3, 3, device="meta")), "channels"),
        (uni(m1=6), "lda"),
        (uni(m0=9), "version 9"),
        (uni(m1=99), "method 99"),
        (uni(m2=7), "scale 7"),
    ],
)
def test_what_it_is_not(state: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        detect(to_canonical(state))


def rib(window_size: int = 64) -> dict[str, torch.Tensor]:
    config = EscConfig(
        dim=8, pdim=4, kernel_size=3, n_blocks=1, conv_blocks=1, num_heads=2, proj_hidden=8, conv_hidden=8, last_norm=True,
        position="rib", position_rank=3, rib_hidden=4, rib_freqs=2, window_size=window_size,
    )  # fmt: skip
    return to_dialect(ESC(config).state_dict(), config)


def test_a_window_size_that_nothing_states_is_a_warning(tmp_path, caplog) -> None:
    torch.save(rib(), tmp_path / "rib.pth")
    convert(tmp_path / "rib.pth", tmp_path / "guessed.safetensors")
    convert(tmp_path / "rib.pth", tmp_path / "stated.safetensors", window_size=32)
    assert len(caplog.messages) == 1
    caplog.clear()
    for name in ("rib.pth", "guessed.safetensors"):
        assert load_model(tmp_path / name).config.window_size == 64
    assert len(caplog.messages) == 2
    for message in caplog.messages:
        assert "window_size=" in message
        assert "--window-size" in message
        assert "\n" not in message
    caplog.clear()
    assert load_model(tmp_path / "rib.pth", window_size=16).config.window_size == 16
    assert load_model(tmp_path / "stated.safetensors").config.window_size == 32
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "rib.pth").rename(folder / "rib.pth")
    (folder / "config.json").write_text('{"window_size": 8}')
    assert load_model(folder).config.window_size == 8
    assert caplog.messages == []


def test_the_published_esc_rib_have_windows_of_64(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("ESC_MODELS_DIR", str(tmp_path))
    for scale in (2, 3, 4):
        torch.save(rib(), tmp_path / f"ESCRIB_DFLIP_X{scale}.pth")  # as a user puts it there
        assert load_model(f"esc-rib-x{scale}").config.window_size == 64
    assert caplog.messages == []
