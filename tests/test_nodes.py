"""The pack inside a ComfyUI of 2025 and one of 2026: what users do with the nodes, and what goes wrong meanwhile."""

from __future__ import annotations

import importlib
import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file
from torch import Tensor, nn

from esc_plugin import Upscaler
from esc_plugin.network import ESC
from esc_plugin.weights.model import Model

from .comfy_io import arguments
from .comfy_stubs import ROOT, TINY, Comfy, OutOfMemoryError, comfy, import_spandrel
from .hub_server import HubServer
from .test_hub import point_to

NODES = ["ESC_LoadModel", "ESC_PreviewUpscale", "ESC_UpscaleImage", "ESC_UpscaleVideo"]


@pytest.fixture
def host(running: Comfy, tmp_path: Path) -> Comfy:
    """A ComfyUI with one ESC file of the user's own."""
    running.start()
    torch.manual_seed(0)
    save_file(ESC(TINY).state_dict(), tmp_path / "mine.safetensors")
    running.files = {"mine.safetensors": tmp_path / "mine.safetensors"}
    running.folder = tmp_path / "upscale_models"
    return running


def picture(frames: int = 1, height: int = 20, width: int = 26, channels: int = 3) -> Tensor:
    """An image as LoadImage makes it, which nobody may change."""
    return torch.rand(frames, height, width, channels, generator=torch.Generator().manual_seed(1))


def reference(descriptor: Any, images: Tensor, **options: Any) -> Tensor:
    """What the library makes of the same images."""
    network = ESC(TINY)
    network.load_state_dict(descriptor.model.state_dict())
    upscaler = Upscaler(Model(network.eval(), network.config, "reference", "", ""))
    results = [upscaler(image.numpy(), axes="YXS", intensity="range", **options) for image in images.float()]
    return torch.from_numpy(np.stack(results)).clamp(0, 1)


# ---- what users see


def test_every_node_is_explained(host: Comfy) -> None:
    assert sorted(host.nodes) == NODES
    for node_id, node in host.nodes.items():
        schema = node.define_schema()
        assert schema.category in ("image/upscaling", "loaders", "model/loaders")
        assert schema.description.endswith(".")
        assert all(part.values["tooltip"].endswith(".") for part in [*schema.inputs, *schema.outputs])
        help_page = (ROOT / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
        names = {part.id for part in schema.inputs} | {part.values["display_name"] for part in schema.outputs}
        assert {name for name in names if f"`{name}`" not in help_page} == set()
        assert hasattr(schema, "search_aliases") == (host.generation == "2026")


def test_nothing_happens_outside_of_comfyui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "folder_paths", raising=False)
    assert set(runpy.run_path(str(ROOT / "__init__.py"))) & {"comfy_entrypoint", "NODE_CLASS_MAPPINGS"} == set()


@pytest.mark.parametrize("error", [ImportError("no spandrel"), RuntimeError("operator torchvision::nms does not exist")])
def test_loads_without_spandrel(error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "spandrel":
                raise error

    for name in [name for name in sys.modules if name.partition(".")[0] == "spandrel"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with comfy("2026") as host:
        assert sorted(host.nodes) == NODES
        assert "spandrel" in caplog.text
        with pytest.raises(host.inside("esc_plugin.errors").EscError, match="needs spandrel"):
            host.run("ESC_LoadModel", model="esc-nano-x2")


# ---- loading


@pytest.mark.parametrize("name", ["esc-nano-x2", "mine.safetensors"])
def test_loaded_models_serve_stock_nodes(name: str, host: Comfy) -> None:
    model = host.run("ESC_LoadModel", model=name)
    assert type(model.patcher).__name__ == {"2025": "ModelPatcher", "2026": "CoreModelPatcher"}[host.generation]
    image = picture()
    found = host.stock_upscale(model, image)
    expected = model.model(image.movedim(-1, 1)).movedim(1, -1).clamp(0, 1)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"model": "gone.pth"}, "there is no model 'gone.pth'"),
        ({"model": "esc-nano-x9"}, "there is no model 'esc-nano-x9'"),
        ({"model": "broken.pth"}, "broken.pth"),
        ({"model": "compact.safetensors"}, "no ESC network.*Load Upscale Model"),
    ],
)
def test_unusable_models_say_why(inputs: dict[str, str], said: str, host: Comfy, tmp_path: Path) -> None:
    (tmp_path / "broken.pth").write_bytes(b"\x80\x02not a model")
    save_file({"body.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "compact.safetensors")
    host.files |= {name: tmp_path / name for name in ("broken.pth", "compact.safetensors")}
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match=said):
        host.run("ESC_LoadModel", **inputs)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        point_to(server.url, monkeypatch, tmp_path)
        yield server


@pytest.mark.parametrize("file", ["model.safetensors", "weights/x2.safetensors"])
@pytest.mark.parametrize("named", [True, False])
def test_hub_models_land_in_comfyuis_folder(file: str, named: bool, hub: HubServer, host: Comfy) -> None:
    hub.repo("lab/esc-x2", {})
    for seed in (1, 2):  # the second is a new version
        torch.manual_seed(seed)
        state = ESC(TINY).state_dict()
        hub.repos["lab/esc-x2"].commit({file: save(state), "README.md": b"read me"})
        model = host.run("ESC_LoadModel", model="mine.safetensors", hub_id=f"lab/esc-x2{'/' + file if named else ''} ")
        assert torch.equal(model.model.proj.weight, state["proj.weight"])
        kept = host.folder / "lab" / "esc-x2" / Path(file).name
        assert kept.read_bytes() == save(state)
        assert host.told[-1][0] == host.told[-1][1] > 10_000


def test_cancel_stops_a_download(hub: HubServer, host: Comfy) -> None:
    hub.repo("lab/esc-x2", {"model.safetensors": save(ESC(TINY).state_dict())})
    host.cancel_after = 0
    with pytest.raises(host.interrupt):
        host.run("ESC_LoadModel", model="mine.safetensors", hub_id="lab/esc-x2")
    assert not host.folder.exists()
    assert host.run("ESC_LoadModel", model="mine.safetensors", hub_id="lab/esc-x2").scale == 2


@pytest.mark.parametrize(
    ("hub_id", "said"), [("lab/none", "lab/none"), ("a b", "write org/repo"), ("../x.pth", "write org/repo")]
)
def test_what_the_hub_has_not(hub_id: str, said: str, hub: HubServer, host: Comfy) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").HubError, match=re.escape(said)):
        host.run("ESC_LoadModel", model="mine.safetensors", hub_id=hub_id)


# ---- upscaling


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize(("frames", "channels"), [(1, 3), (3, 3), (2, 4)])
def test_equals_the_library(frames: int, channels: int, dtype: torch.dtype, host: Comfy, model: Any) -> None:
    images = picture(frames, channels=channels).to(dtype)
    before = images.clone()
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images)
    assert (found.dtype, found.device.type, tuple(found.shape)) == (torch.float32, "cpu", (frames, 40, 52, channels))
    assert torch.allclose(found, reference(model, images), atol=1e-5)
    assert torch.equal(images, before)
    assert model.dtype == torch.float32


@pytest.fixture
def tight(host: Comfy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave nothing for the runtime and little for a chunk, so that small images can be short of memory too."""
    plan = host.inside("esc_plugin.engine.plan")
    monkeypatch.setattr(plan, "RESERVE_BYTES", 0)
    monkeypatch.setattr(plan, "LEAST_CHUNK_BYTES", 2**18)


@pytest.mark.usefixtures("tight")
@pytest.mark.parametrize("limit", [0.0, 0.006])
def test_memory_never_changes_the_result(limit: float, host: Comfy, model: Any) -> None:
    images = picture(height=90, width=130)
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images, memory_limit=limit)
    assert (found - reference(model, images)).abs().max() < 1e-5
    (patcher, asked, full) = host.loads[0]
    assert (patcher, full) == (model.patcher, True)
    assert 0 < asked <= (limit * 2**30 or 2**30)


def test_too_little_memory_is_told_before_the_work(host: Comfy, model: Any) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match="needs at least"):
        host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), memory_limit=0.01)
    assert host.told == []


def sized(host: Comfy, choice: str, **fields: Any) -> dict[str, Any]:
    """Return what a prompt says of a size: of newer hosts with the fields of the choice, of others with all of them."""
    return {"size": choice} | {f"size.{name}" if host.generation == "2026" else name: v for name, v in fields.items()}


@pytest.mark.parametrize(
    ("choice", "fields", "size"),
    [
        ("model scale", {}, (40, 52)),
        ("factor", {"factor": 1.5}, (30, 39)),
        ("factor", {"factor": 3.0}, (60, 78)),
        ("factor", {}, (40, 52)),
        ("longest edge", {"longest": 39}, (30, 39)),
        ("shortest edge", {"shortest": 50, "longest_at_most": 0}, (50, 65)),
        ("shortest edge", {"shortest": 50, "longest_at_most": 60}, (46, 60)),
        ("megapixels", {"megapixels": 0.01}, (88, 114)),
        ("width and height", {"width": 39, "height": 0}, (30, 39)),
        ("width and height", {"width": 0, "height": 50}, (50, 65)),
        ("width and height", {"width": 60, "height": 30, "how": "fit"}, (30, 39)),
        ("width and height", {"width": 33, "height": 50, "how": "stretch"}, (50, 33)),
    ],
)
@pytest.mark.parametrize("channels", [3, 4])
def test_sizes(choice: str, fields: dict[str, Any], size: tuple[int, int], channels: int, host: Comfy, model: Any) -> None:
    images = picture(channels=channels)
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images, **sized(host, choice, **fields))
    assert tuple(found.shape) == (1, *size, channels)
    assert torch.allclose(found, reference(model, images, size=size), atol=1e-5)


def test_fill_cuts_off_what_sticks_out(host: Comfy, model: Any) -> None:
    asked = sized(host, "width and height", width=30, height=40, how="fill")
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), **asked)
    assert torch.allclose(found, reference(model, picture())[:, :, 11:41], atol=1e-5)


@pytest.mark.parametrize(("height", "width", "size"), [(20, 36, (720, 1280)), (36, 20, (1280, 720))])
def test_presets_turn_with_the_image(height: int, width: int, size: tuple[int, int], host: Comfy, model: Any) -> None:
    asked = sized(host, "preset", preset="HD", how="fill")
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=picture(1, height, width), **asked)
    assert tuple(found.shape) == (1, *size, 3)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_factor_of_one_or_less_cleans(factor: float, host: Comfy, model: Any) -> None:
    images, size = picture(), (round(20 * factor), round(26 * factor))
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images, **sized(host, "factor", factor=factor))
    assert torch.allclose(found, reference(model, images, size=size, passes=1), atol=1e-5)
    assert not torch.allclose(found, reference(model, images, size=size), atol=1e-2)
    smaller = host.run("ESC_UpscaleImage", upscale_model=model, image=images, **sized(host, "longest edge", longest=13))
    assert torch.allclose(smaller, reference(model, images, size=(10, 13)), atol=1e-5)  # a filter is enough
    assert "pass x2, then Lanczos" in host.said[0]
    assert "0 passes" in host.said[1]


def test_all_options_reach_the_library(host: Comfy, model: Any) -> None:
    images, mask = picture(2, 20, 26, 4), torch.rand(2, 20, 26)
    options: dict[str, Any] = {"strength": 0.75, "linear_light": True, "alpha": "lanczos"}
    asked = options | {"passes": "2", "mask": mask} | sized(host, "factor", factor=3.0)
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images, **asked)
    each = [reference(model, images[i : i + 1], scale=3.0, passes=2, mask=mask[i].numpy(), **options) for i in range(2)]
    assert torch.allclose(found, torch.cat(each), atol=1e-5)
    true = host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), consistency=True)
    blocks = true.reshape(1, 20, 2, 26, 2, 3).mean((2, 4))
    assert torch.allclose(blocks, picture(), atol=1e-5)
    assert 0 <= true.min() <= true.max() <= 1


def test_a_second_model_is_blended_in(host: Comfy, model: Any, compact: Any) -> None:
    images, asked = picture(), sized(host, "factor", factor=3.0)
    one, other = (host.run("ESC_UpscaleImage", upscale_model=m, image=images, **asked) for m in (model, compact))
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images, second_model=compact, second_share=0.25, **asked)
    assert torch.allclose(found, 0.75 * one + 0.25 * other, atol=1e-5)
    alone = host.run("ESC_UpscaleImage", upscale_model=model, image=images, second_model=compact, second_share=0.0, **asked)
    assert torch.equal(alone, one)


def test_a_part_is_that_part_of_the_whole(host: Comfy, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images, asked = picture(2, 40, 50), sized(host, "factor", factor=3.0)
    whole = host.run("ESC_UpscaleImage", upscale_model=model, image=images, **asked)
    part = {"x": 10, "y": 20, "part_width": 30, "part_height": 8}
    found = host.run("ESC_PreviewUpscale", upscale_model=model, image=images, **part, **asked)
    assert torch.equal(found, whole[:, 60:84, 30:120])

    # Another part of the same images: what is known of them is remembered.
    def again(*_: Any, **__: Any) -> None:
        raise AssertionError("the images were looked at again")

    monkeypatch.setattr(host.inside("esc_plugin.upscaler").Upscaler, "survey", again)
    part = {"x": 0, "y": 0, "part_width": 50, "part_height": 1}
    found = host.run("ESC_PreviewUpscale", upscale_model=model, image=images, **part, **asked)
    assert torch.equal(found, whole[:, :3])


def test_a_part_of_a_mixture_behind_a_mask(host: Comfy, model: Any) -> None:
    torch.manual_seed(3)
    save_file(ESC(TINY).state_dict(), host.files["mine.safetensors"].with_name("other.safetensors"))
    host.files["other.safetensors"] = host.files["mine.safetensors"].with_name("other.safetensors")
    other = host.run("ESC_LoadModel", model="other.safetensors")
    options = {"second_model": other, "second_share": 0.25, "strength": 0.5, "mask": torch.rand(1, 20, 26)}
    images, asked = picture(), options | sized(host, "factor", factor=1.5)
    whole = host.run("ESC_UpscaleImage", upscale_model=model, image=images, **asked)
    part = {"x": 4, "y": 2, "part_width": 10, "part_height": 6}
    found = host.run("ESC_PreviewUpscale", upscale_model=model, image=images, **part, **asked)
    assert torch.equal(found, whole[:, 3:12, 6:21])


def test_a_part_ends_where_the_image_ends(host: Comfy, model: Any) -> None:
    whole = host.run("ESC_UpscaleImage", upscale_model=model, image=picture())
    found = host.run("ESC_PreviewUpscale", upscale_model=model, image=picture(), x=20, y=3)
    assert torch.equal(found, whole[:, 6:, 40:])


def test_a_mask_that_is_black_runs_no_model(host: Comfy, model: Any, compact: Any) -> None:
    without = host.run("ESC_UpscaleImage", upscale_model=model, image=picture(1, 24, 24), strength=0.0)
    for each in (model, compact):  # as Load Image hands on for an image without transparency
        found = host.run("ESC_UpscaleImage", upscale_model=each, image=picture(1, 24, 24), mask=torch.zeros(1, 64, 64))
        assert torch.equal(found, without)
        assert host.said[-1] == "24 x 24 to 48 x 48: 0 passes, then Lanczos x2, because the mask is black everywhere."


def test_parts_that_are_none_say_why(host: Comfy, model: Any, compact: Any) -> None:
    error = host.inside("esc_plugin.errors").EscError
    with pytest.raises(error, match="x 26 to 282, y 0 to 256 isn't inside of the image, which has 26 x 20"):
        host.run("ESC_PreviewUpscale", upscale_model=model, image=picture(), x=26)
    with pytest.raises(error, match="only ESC models"):
        host.run("ESC_PreviewUpscale", upscale_model=compact, image=picture())


def test_images_are_handed_on_as_the_host_wants_them(host: Comfy, model: Any) -> None:
    host.dtype = torch.float16
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=picture())
    assert found.dtype == (torch.float16 if host.generation == "2026" else torch.float32)


def test_lamps_stay_bright(host: Comfy, model: Any, compact: Any) -> None:
    images = picture()
    images[0, 5:9, 5:9] = 4
    for each in (model, compact):
        found = host.run("ESC_UpscaleImage", upscale_model=each, image=images)
        assert 3.5 < found.max() <= 4


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"passes": "9"}, "passes is '9'; it must be one of auto, 1, 2, 3"),
        ({"precision": "int4"}, "precision is 'int4'; it must be one of auto, float32"),
    ],
)
def test_unusable_requests_say_why(inputs: dict[str, Any], said: str, host: Comfy, model: Any) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match=said):
        host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), **inputs)


@pytest.mark.parametrize(
    ("choice", "fields", "said"),
    [
        ("width and height", {"width": 0, "height": 0}, "both are 0"),
        ("width and height", {"width": 32768, "height": 1, "how": "stretch"}, "can't make 32768 x 1"),
    ],
)
def test_sizes_that_are_none_say_why(choice: str, fields: dict[str, Any], said: str, host: Comfy, model: Any) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match=said):
        host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), **sized(host, choice, **fields))
    assert host.loads == []


def test_a_choice_of_size_that_there_is_not_says_so(host: Comfy, model: Any) -> None:
    said = "size is 'larger'" if host.generation == "2025" else "size is missing, or none that there is"
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match=f"{said}; it must be one of model scale, factor"):
        host.run("ESC_UpscaleImage", upscale_model=model, image=picture(), size="larger")


@pytest.mark.parametrize("wrong", [{"precision": "x" * 5000}, {"size": {}}, {"size": "x" * 5000}, {"alpha": "x" * 5000}])
def test_what_is_not_of_a_menu_is_one_short_line(wrong: dict[str, Any], host: Comfy, model: Any) -> None:
    """Prompts need not come from the front end, and not every version checks them."""
    values = arguments(host.nodes["ESC_UpscaleImage"].define_schema().inputs, {"upscale_model": model, "image": picture()})
    with pytest.raises(host.inside("esc_plugin.errors").EscError) as caught:
        host.nodes["ESC_UpscaleImage"].execute(**values | wrong)
    assert len(str(caught.value)) < 400


def test_a_model_that_is_no_name_is_refused(host: Comfy) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match=r"there is no model \{\}"):
        host.nodes["ESC_LoadModel"].execute(model={})


@pytest.mark.parametrize("shape", [(20, 26, 3), (1, 20, 26, 1), (1, 0, 26, 3)])
def test_unusable_images_say_why(shape: tuple[int, ...], host: Comfy, model: Any) -> None:
    with pytest.raises(host.inside("esc_plugin.errors").ImageError, match=re.escape(str(shape))):
        host.run("ESC_UpscaleImage", upscale_model=model, image=torch.zeros(shape))


def test_half_precision_is_close_and_leaves_the_model_alone(host: Comfy, model: Any) -> None:
    images = picture()
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images, precision="bfloat16")
    difference = (found - reference(model, images)).abs().max()
    assert 0 < difference < 0.05
    assert model.dtype == torch.float32


def test_descriptors_of_others_with_esc_inside_run_exactly(host: Comfy, model: Any) -> None:
    class Theirs(nn.Module):
        """An ESC that somebody else wrote: same parameters, another class, no way to run it."""

    theirs = Theirs()
    for name, value in model.model.named_children():
        theirs.add_module(name, value)
    theirs.plk_filter = model.model.plk_filter
    descriptor = type("Descriptor", (), {"model": theirs, "to": lambda *_: None, "scale": 2})()
    found = host.run("ESC_UpscaleImage", upscale_model=descriptor, image=picture())
    assert torch.allclose(found, reference(model, picture()), atol=1e-5)
    assert descriptor.patcher.model is theirs


# ---- progress, Cancel, memory


def test_progress_moves_forward_and_ends_full(host: Comfy, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.inside("nodes.host"), "PROGRESS_EVERY", 0)
    host.run("ESC_UpscaleImage", upscale_model=model, image=picture(2, 90, 130))
    shares = [value / total for value, total, _ in host.told]
    assert len(shares) > 10
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all(preview is None for *_, preview in host.told)


@pytest.mark.usefixtures("tight")
def test_previews_show_finished_rows(host: Comfy, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROGRESS_EVERY", "PREVIEW_EVERY"):
        monkeypatch.setattr(host.inside("nodes.host"), name, 0)
    host.modules["comfy.cli_args"].args.preview_method = host.previews.Auto
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=picture(1, 300, 90), memory_limit=0.006)
    previews = [preview for *_, preview in host.told if preview]
    assert {(kind, edge) for kind, _, edge in previews} == {("JPEG", 512)}
    pixels = [np.asarray(image) for _, image, _ in previews]
    assert pixels[0].shape == (300, 90, 3)  # every second pixel of 600 x 180
    behind = (picture(1, 300, 90)[0] * 255).round().byte().numpy()  # the image itself, where nothing is finished
    assert np.array_equal(pixels[0], behind)
    expected = (found[0, ::2, ::2] * 255).round().byte().numpy()
    assert np.array_equal(pixels[-1], expected)
    finished = [(image == expected).all((1, 2)).sum() for image in pixels]
    assert any(0 < rows < 300 for rows in finished)


@pytest.mark.parametrize("after", [0, 3, 12])
def test_cancel_stops_and_the_next_run_works(after: int, host: Comfy, model: Any) -> None:
    images = picture(2, 90, 130)
    host.cancel_after = after
    with pytest.raises(host.interrupt):
        host.run("ESC_UpscaleImage", upscale_model=model, image=images)
    assert host.cancel_after is None
    assert len(host.told) <= after
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=images)
    assert (found - reference(model, images)).abs().max() < 1e-5


@pytest.mark.usefixtures("tight")
def test_out_of_memory_is_tried_again_with_less(host: Comfy, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = starve(host, monkeypatch, times=1)
    found = host.run("ESC_UpscaleImage", upscale_model=model, image=picture(height=90, width=130), memory_limit=1.0)
    assert torch.allclose(found, reference(model, picture(height=90, width=130)), atol=1e-5)
    assert host.emptied == 1
    assert limits[0] == 2**30
    assert limits[1] < 2**24


def test_out_of_memory_for_good_is_told(host: Comfy, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    starve(host, monkeypatch, times=99)
    with pytest.raises((OutOfMemoryError, host.inside("esc_plugin.errors").EscError), match="memory"):
        host.run("ESC_UpscaleImage", upscale_model=model, image=picture(height=90, width=130))


def starve(host: Comfy, monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the device run out of memory that often; return the limits that were tried."""
    module = host.inside("nodes.upscale")
    real, limits = module.upscale_images, []

    def short(upscaler: Any, *args: Any, **options: Any) -> Tensor:
        limits.append(upscaler.memory_limit)
        if len(limits) <= times:
            raise OutOfMemoryError("the device is out of memory")
        return real(upscaler, *args, **options)

    monkeypatch.setattr(module, "upscale_images", short)
    return limits


# ---- other models


@pytest.fixture
def compact(host: Comfy) -> Any:
    spandrel = import_spandrel()
    torch.manual_seed(0)
    network = importlib.import_module("spandrel.architectures.Compact").Compact(num_feat=8, num_conv=1, upscale=2)
    return spandrel.MAIN_REGISTRY.load(network.state_dict()).eval()


@pytest.mark.parametrize("channels", [3, 4])
def test_other_models_run_in_tiles(channels: int, host: Comfy, compact: Any) -> None:
    images = picture(2, 200, 600, channels)
    images[..., 3:] = 1
    found = host.run("ESC_UpscaleImage", upscale_model=compact, image=images)
    whole = compact(images[..., :3].movedim(-1, 1)).movedim(1, -1)
    assert tuple(found.shape) == (2, 400, 1200, channels)
    assert torch.allclose(found[:, :, :900, :3], whole[:, :, :900], atol=0.02)  # but for where tiles overlap
    assert host.told[-1][0] == host.told[-1][1] > 0
    assert host.loads[0][0] is compact.patcher


def test_other_models_reach_any_size(host: Comfy, compact: Any) -> None:
    found = host.run(
        "ESC_UpscaleImage", upscale_model=compact, image=picture(channels=4), **sized(host, "factor", factor=1.5)
    )
    assert tuple(found.shape) == (1, 30, 39, 4)
    assert found.min() >= 0
    assert found.max() <= 1


def test_other_models_heed_cancel(host: Comfy, compact: Any) -> None:
    host.cancel_after = 1
    with pytest.raises(host.interrupt):
        host.run("ESC_UpscaleImage", upscale_model=compact, image=picture(1, 600, 600), precision="float16")
    assert compact.dtype == torch.float32


def test_other_models_get_smaller_tiles_when_memory_is_short(host: Comfy, compact: Any) -> None:
    def fail(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if max(inputs[0].shape) > 256:
            raise OutOfMemoryError("the device is out of memory")

    hook = compact.model.register_forward_pre_hook(fail)
    host.run("ESC_UpscaleImage", upscale_model=compact, image=picture(1, 300, 600))
    assert host.emptied == 1
    hook.remove()
    compact.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(OutOfMemoryError("out of memory")))
    with pytest.raises(OutOfMemoryError):
        host.run("ESC_UpscaleImage", upscale_model=compact, image=picture(1, 300, 600))


def test_other_errors_of_other_models_are_not_tried_again(host: Comfy, compact: Any) -> None:
    compact.model.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(ValueError("broken")))
    with pytest.raises(ValueError, match="broken"):
        host.run("ESC_UpscaleImage", upscale_model=compact, image=picture())
    assert host.emptied == 0


def test_memory_limit_makes_tiles_smaller(host: Comfy, compact: Any) -> None:
    sizes = set()
    compact.model.register_forward_pre_hook(lambda _, inputs: sizes.add(max(inputs[0].shape)))
    host.run("ESC_UpscaleImage", upscale_model=compact, image=picture(1, 300, 300), memory_limit=0.25)
    assert max(sizes) == 128


def test_gray_models_are_refused(host: Comfy, compact: Any) -> None:
    compact.input_channels = 1
    with pytest.raises(host.inside("esc_plugin.errors").EscError, match="takes 1 and makes 3 channels"):
        host.run("ESC_UpscaleImage", upscale_model=compact, image=picture())


# ---- the folder


def test_requirements_leave_users_torch_alone() -> None:
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    names = {re.split(r"[<>=~!]", line)[0].strip() for line in lines}
    assert names & {"torch", "torchvision", "torchaudio", "numpy"} == set()


def check_widgets(node: dict[str, Any], host: Comfy) -> list[str]:
    """Check the values that a workflow holds for one of our nodes, and return the names of their widgets."""
    inputs = host.nodes[node["type"]].define_schema().inputs
    widgets = [part for part in inputs if part.kind not in ("IMAGE", "MASK", "UPSCALE_MODEL", "VIDEO")]
    names, values = [part.id for part in widgets], node["widgets_values"]
    # Of the size, which comes last, newer hosts store the choice and its fields; older ones have more fields after it.
    dynamic = [part for part in widgets if part.kind == "COMFY_DYNAMICCOMBO_V3"]
    for part in dynamic:
        (option,) = (option for option in part.values["options"] if option.key == values[widgets.index(part)])
        widgets += option.inputs
        names += [f"{part.id}.{field.id}" for field in option.inputs]
        assert len(values) == len(widgets)
    for part, value in zip(widgets, values, strict=False):
        if part.kind == "COMBO":
            assert value in part.values["options"]
        elif part.kind in ("INT", "FLOAT"):
            assert part.values["min"] <= value <= part.values["max"]
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "example_workflows").glob("*.json")), ids=lambda path: path.stem)
def test_example_workflows_fit_the_nodes(path: Path, host: Comfy) -> None:
    workflow = json.loads(path.read_text(encoding="utf-8"))
    ours = [node for node in workflow["nodes"] if node["type"].startswith("ESC_")]
    assert ours
    for node in ours:
        check_widgets(node, host)
    with Image.open(path.with_suffix(".jpg")) as thumbnail:
        assert max(thumbnail.size) <= 1024


@pytest.mark.parametrize("path", sorted((ROOT / "subgraphs").glob("*.json")), ids=lambda path: path.stem)
def test_blueprints_fit_the_nodes(path: Path, host: Comfy) -> None:
    if host.generation != "2026":
        pytest.skip("ComfyUI of 2025 has no blueprints with fields that come and go")
    blueprint = json.loads(path.read_text(encoding="utf-8"))
    (outer,), (graph,) = blueprint["nodes"], blueprint["definitions"]["subgraphs"]
    assert (outer["type"], graph["name"]) == (graph["id"], path.stem)
    shown = {str(node["id"]): check_widgets(node, host) for node in graph["nodes"]}
    for node, widget in outer["properties"]["proxyWidgets"]:
        assert widget in shown[node]
