"""Files that lie, break or attack: a `CheckpointError`, quickly and in little memory, or a correct load."""

import io
import os
import pickle
import random
import struct
import sys
import time
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from esc_plugin.errors import CheckpointError
from esc_plugin.network import ESC, EscConfig
from esc_plugin.network.heads.registry import HEADS
from esc_plugin.weights import checkpoint
from esc_plugin.weights.checkpoint import read_checkpoint
from esc_plugin.weights.model import read_model

from .hostile.archives import Evil, archive, directory, header, stored, tensor

TINY = EscConfig(
    dim=8, pdim=4, kernel_size=3, n_blocks=1, conv_blocks=1, window_size=4, num_heads=2, proj_hidden=16, conv_hidden=10
)


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return {name: value.clone() for name, value in ESC(TINY).state_dict().items()}


@pytest.fixture
def pth(tmp_path, state):
    path = tmp_path / "tiny.pth"
    torch.save({"params": {k: v * 0 for k, v in state.items()}, "params_ema": state}, path)
    return path


@pytest.fixture
def st(tmp_path, state):
    path = tmp_path / "tiny.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    return path


def most_memory():
    """Return the bytes of memory that this process ever took; 0 where no system call tells."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def frugal(seconds=1.0, bytes_=64 * 2**20):
    """Fail unless the body is quick and allocates little, in Python's heap and in the process."""
    tracemalloc.start()
    before = most_memory()
    start = time.process_time()  # of this process: others may keep the machine busy
    yield
    taken = time.process_time() - start
    grown = most_memory() - before
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < seconds, f"took {taken:.2f} s of CPU time"
    assert max(peak, grown) < bytes_, f"allocated {peak} and {grown} bytes"


def refused(path, match):
    with frugal(bytes_=64 * 2**20 + path.stat().st_size), pytest.raises(CheckpointError, match=match) as info:
        read_model(path)
    assert "\n" not in str(info.value)
    assert len(str(info.value)) < 600


# ------------------------------------------------------------------ what people have


def same(path, state):
    loaded = read_model(path).network.state_dict()
    assert set(loaded) == set(state)
    for name, value in state.items():
        torch.testing.assert_close(loaded[name], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    "wrap", ["params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net", None]
)
def test_wrappers_and_ddp_prefix(tmp_path, state, wrap):
    inner = {f"module.{name}": value for name, value in state.items()}
    torch.save({wrap: inner, "iteration": 3} if wrap else inner, tmp_path / "w.pth")
    same(tmp_path / "w.pth", state)


def test_the_average_is_preferred_over_the_last_state(pth, state):
    same(pth, state)


def test_parameters_half_precision_and_training_state_are_read(tmp_path, state):
    network = ESC(TINY)
    network.load_state_dict(state)
    optimizer = torch.optim.AdamW(network.parameters())
    sum(p.square().sum() for p in network.parameters()).backward()
    optimizer.step()
    saved = {name: torch.nn.Parameter(value) for name, value in network.half().state_dict().items()}
    torch.save({"state_dict": saved, "optimizer": optimizer.state_dict(), "epoch": 2, "name": "x"}, tmp_path / "t.pth")
    same(tmp_path / "t.pth", {name: value.float() for name, value in network.state_dict().items()})


def test_golden_pickles_pass_the_check(shared):
    assert read_model(shared / "golden/esc_lte.pth").config.head == "lte"
    assert read_model(shared / "golden/esc_x4_basicsr.pth").config.scale == 4


# ------------------------------------------------------------------ pickles


def test_a_pickle_that_would_run_code(tmp_path, state):
    target = tmp_path / "ran"
    for n, protocol in enumerate((2, 4)):
        torch.save({"params": state, "x": Evil(os.mkdir, str(target))}, tmp_path / f"{n}.pth", pickle_protocol=protocol)
        refused(tmp_path / f"{n}.pth", "nothing in a file is executed|damaged")
    assert not target.exists()


def test_a_bare_pickle_is_not_read(tmp_path):
    target = tmp_path / "ran"
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Evil(os.mkdir, str(target))))
    refused(tmp_path / "old.pth", "before version 1.6")
    assert not target.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.",  # bytearray(2 GiB)
        b"ctorch\nFloatStorage\nJ\x00\x00\x00\x7f\x85R.",  # a storage made by a call
        b"}r\xff\xff\xff\xff.",  # a memo index that claims 4 G places
        b"\x96" + struct.pack("<Q", 2**36) + b".",  # BYTEARRAY8 of 64 GiB
        b"X\xff\xff\xff\xff.",  # text of 4 GiB
        b"\x8b\xff\xff\xff\x7f.",  # an integer of 2 GiB
        b")" + b"2\x86" * 60 + b"}q\x002K\x01s.",  # shared tuples as a key: 2^60 hashes
        b"}" + b")q\x01" + b"h\x01h\x01\x86q\x01" * 60 + b"K\x01s.",
        b"}" * 100_000 + b".",
        b"cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
        b"\x82\x01.",
        b"",
        b"N" * 1_000_000 + b".",
        b"N.",
        b"}.",
        b"]q\x00h\x00a.",  # a list in itself
    ],
)
def test_hostile_pickles(tmp_path, body):
    refused(archive(tmp_path / "h.pth", body), "PyTorch file|holds no parameters")


def one_tensor(path, *args, **kwargs):
    index = b"}X\x0b\x00\x00\x00proj.weight" + tensor(*args, **kwargs) + b"s."
    return archive(path, index, [("archive/data/0", b"\0" * 64)])


def test_the_hand_made_tensor_is_a_tensor(tmp_path):
    found = read_checkpoint(one_tensor(tmp_path / "ok.pth", (4, 4), (4, 1), 16)).state["proj.weight"]
    assert found.shape == (4, 4)


@pytest.mark.parametrize(
    ("shape", "stride", "elements", "offset"),
    [
        ((10**6, 10**6), (10**6, 1), 16, 0),  # more than is stored
        ((10**6, 10**6), (0, 0), 16, 0),  # one element, repeated
        ((4, 4), (4, 1), 10**12, 0),  # a storage that claims more than its entry
        ((4, 4), (4, 1), 16, 8),  # beyond the end
        ((4, 4), (4, 1), 16, -1),
        ((4, 4), (-4, 1), 16, 0),
        ((-4, -4), (4, 1), 16, 0),
        ((2**62, 4), (4, 1), 16, 0),
        ((4,), (4, 1), 16, 0),
        ((1,) * 100, (1,) * 100, 16, 0),
    ],
)
def test_shapes_that_lie_in_a_pickle(tmp_path, shape, stride, elements, offset):
    refused(one_tensor(tmp_path / "lie.pth", shape, stride, elements, offset), "claims|malformed|impossible shape")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize(
    "change",
    [
        {"position": "flash", "position_rank": 0, "window_size": 2**20},
        {"position": "rib", "position_rank": 0, "rib_hidden": 4, "rib_freqs": 1, "last_norm": True},
        {"position": "rib", "position_rank": 2, "rib_hidden": 0, "rib_freqs": 1, "last_norm": True},
        {"head": "lte", "scale": 4, "mid_dim": 0, "mlp_hidden": (4,)},
        {"head": "lte", "scale": 4, "mid_dim": 4, "mlp_hidden": (0, 4)},
        {"scale": 0},
        {"window_size": 256, "num_heads": 1},  # a file of 1 MB whose bias would take 17 GB
    ],
)
def test_shapes_that_fit_together_and_lie(tmp_path, change, monkeypatch):
    config = replace(TINY)
    for name, value in change.items():
        object.__setattr__(config, name, value)  # no configuration would take some of them
    with torch.device("meta"), monkeypatch.context() as patch:
        patch.setitem(HEADS, config.head, replace(HEADS[config.head], check=lambda _: None))
        shapes = ESC(config).state_dict()
    save_file({name: torch.zeros(v.shape, dtype=v.dtype) for name, v in shapes.items()}, tmp_path / "lie.safetensors")
    refused(tmp_path / "lie.safetensors", "and 0 values|256 pixels; up to 128")


def test_empty_shapes_that_lie(tmp_path, state):
    lying = dict(state) | {"plk_filter": torch.empty(4, 4, 0, 0), "last.weight": torch.empty(0, 2**40)}
    save_file(lying, tmp_path / "lie.safetensors")
    refused(tmp_path / "lie.safetensors", "and 0 values")


# ------------------------------------------------------------------ archives


@pytest.mark.parametrize(
    "name", ["../evil", "/etc/evil", "archive/../../evil", "C:\\evil", "archive\\..\\evil", "other/file"]
)
def test_a_zip_with_path_tricks(tmp_path, name):
    refused(archive(tmp_path / "p.pth", b"}.", [(name, b"x")]), "not what torch.save writes")
    assert not list(tmp_path.parent.rglob("evil"))


def test_a_zip_bomb(tmp_path):
    bomb = archive(tmp_path / "b.pth", b"}.", [("archive/data/0", bytes(300 * 2**20))], zipfile.ZIP_DEFLATED)
    refused(bomb, "compressed")


def test_overlapping_zip_entries(tmp_path):
    path = archive(tmp_path / "o.pth", b"}.", [(f"archive/data/{i}", b"\0" * 4096) for i in range(9)])
    with zipfile.ZipFile(path) as file:
        first = next(i.header_offset for i in file.infolist() if i.filename == "archive/data/0")
    raw = bytearray(path.read_bytes())
    at = -1
    while (at := raw.find(b"PK\x01\x02", at + 1)) >= 0:
        raw[at + 24 : at + 28] = struct.pack("<I", 10**6)  # its size
        raw[at + 42 : at + 46] = struct.pack("<I", first)
    path.write_bytes(raw)
    refused(path, "claims to unfold")


def test_two_archives_in_one_file(tmp_path):
    """Some readers take the directory before the end record, others the one at the stated offset."""
    tensor_of = b"\x80\x02}X\x01\x00\x00\x00a" + tensor((4, 4), (4, 1), 16) + b"s."
    files = [
        [(b"archive/data.pkl", tensor_of), (b"archive/data/0", value * 64)]
        for value in (b"\0", b"\1")  # what the check shall see, and what is loaded
    ]
    raw, directories = b"", []
    for entries in files:
        placed = []
        for name, content in entries:
            placed.append((name, content, len(raw)))
            raw += stored(name, content)
        directories.append(placed)
    first = directory(directories[0], 0)[:-22]
    second = directory(directories[1], len(raw))
    for stated, last in ((len(raw), first), (len(raw) + len(first), second[:-22])):
        end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 2, 2, len(second) - 22, stated, 0)
        path = tmp_path / f"{stated}.pth"
        path.write_bytes(raw + second[:-22] + last + end)
        refused(path, "not what torch.save writes")


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"\0" + raw,
        lambda raw: raw + b"\0",
        lambda raw: raw[:-2] + b"\1\0!",  # a comment
        lambda raw: raw[:-22] + raw[-22:] * 2,
        lambda raw: raw.replace(b"PK\6\7", b"PK\6\6"),
        lambda raw: raw[:-98] + b"\0" * 76 + raw[-22:],
        lambda raw: raw[:-98] + raw[-98:-22].replace(raw[-6:-2], bytes(4)) + raw[-22:],
        lambda raw: raw.replace(b"PK\7\10", b"PK\7\11", 1),
        lambda raw: raw.replace(b"tiny/data/1", b"tiny/data/x", 1),  # in the local header only
        lambda raw: raw.replace(b"tiny/version", b"tiny/Data/0", 2),
    ],
)
def test_an_archive_with_anything_odd(pth, change):
    pth.write_bytes(change(pth.read_bytes()))
    refused(pth, "PyTorch file|neither a safetensors file")


def test_records_for_more_than_4_gib_are_optional(pth, state):
    raw = pth.read_bytes()
    pth.write_bytes(raw[:-98] + raw[-22:])
    same(pth, state)


def test_an_archive_that_python_wrote_again(pth, tmp_path, state):
    with zipfile.ZipFile(pth) as old, zipfile.ZipFile(tmp_path / "again.pth", "w") as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    same(tmp_path / "again.pth", state)


def test_an_empty_storage_beside_the_parameters(tmp_path, state):
    torch.save({"params": state, "optimizer": {"empty": torch.empty(0)}}, tmp_path / "empty.pth")
    same(tmp_path / "empty.pth", state)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="pathlib of Python 3.10 has an io.open of its own")
def test_the_file_is_opened_once(pth, st, monkeypatch):
    """What is checked must be what is hashed and loaded, whoever writes to the file meanwhile."""
    opened = []
    open_ = io.open
    monkeypatch.setattr(io, "open", lambda file, *args, **kw: opened.append(str(file)) or open_(file, *args, **kw))
    monkeypatch.setattr("builtins.open", io.open)
    for path in (pth, st):
        read_checkpoint(path)
        assert opened.count(str(path)) == 1


def test_a_file_that_is_far_too_large(pth, monkeypatch):
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 1000)
    refused(pth, "no ESC has more than 1000 bytes")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_entries_of_the_same_name_and_other_archives(tmp_path):
    refused(archive(tmp_path / "d.pth", b"}.", [("archive/data.pkl", b"N.")]), "not what torch.save writes")
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as file:
        file.writestr("word/document.xml", "<x/>")
    refused(tmp_path / "w.pth", "without 'data.pkl'")


def test_a_tensor_that_pretends_to_be_a_folder(pth):
    """Programs disagree about what such an entry holds."""
    raw = bytearray(pth.read_bytes())
    at = raw.rfind(b"PK\x01\x02", 0, raw.rfind(b"/data/3"))
    raw[at + 38] = 0x10
    pth.write_bytes(raw)
    refused(pth, "with a folder 'tiny/data/3")


def test_a_long_index(tmp_path):
    refused(archive(tmp_path / "l.pth", b"N0" * 2**21 + b"."), "far fewer")


# ------------------------------------------------------------------ safetensors


@pytest.mark.parametrize(
    ("text", "data", "claimed"),
    [
        (b"{}", b"", 2**63),
        (b"{}", b"", 100_000_000),
        (b"{}", b"", 1),
        (b"[]", b"", None),
        (b"\xff\xfe", b"", None),
        (b"{}", b"", None),
        (b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}", b"", None),
        (b'{"a":1' + b"0" * 100_000 + b"}", b"", None),
        ({"a": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 10**15]}}, bytes(16), None),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}, bytes(16), None),
        ({"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a": {"dtype": "C64", "shape": [2], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a": {"dtype": "F4", "shape": [32], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a\n" * 99: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(16), None),
        ({"a": {"dtype": "F32", "shape": [1] * 4000, "data_offsets": [0, 4]}}, bytes(4), None),
        ({f"a{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(50_000)}, b"", None),
        (b" " * 90_000_000 + b"{}", b"", None),
    ],
)
def test_headers_that_lie(tmp_path, text, data, claimed):
    (tmp_path / "h.safetensors").write_bytes(header(text, data, claimed))
    refused(tmp_path / "h.safetensors", "h.safetensors")


def test_metadata_is_believed_only_as_text(tmp_path, state):
    for stated in ("[" * 100_000, "[]", "nonsense", '{"window_size": -3, "scale": 9, "dim": 10000000}'):
        save_file(state, tmp_path / "m.safetensors", metadata={"esc_config": stated})
        assert read_model(tmp_path / "m.safetensors").config == TINY


# ------------------------------------------------------------------ any file


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0" * 100_000, b"<!DOCTYPE html><html>", b"\x89PNG\r\n\x1a\n" + b"x" * 99]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_not_a_weights_file(tmp_path, content, suffix):
    (tmp_path / f"x{suffix}").write_bytes(content)
    refused(tmp_path / f"x{suffix}", "empty|neither|web page")


def test_no_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(CheckpointError, match="there is no weights file"):
            read_model(path)


def test_not_finite(tmp_path, state):
    torch.save(dict(state) | {"proj.bias": state["proj.bias"] * torch.nan}, tmp_path / "nan.pth")
    refused(tmp_path / "nan.pth", "'proj.bias' holds values that are no numbers")


def damaged_copies(content, index_end, count, seed=0):
    """Cut at `count` places, and flip `count` bits of the first `index_end` bytes."""
    random_ = random.Random(seed)
    for at in random_.sample(range(len(content)), count):
        yield f"cut at {at}", content[:at]
    for at in random_.sample(range(index_end), min(count, index_end)):
        yield f"flip at {at}", content[:at] + bytes([content[at] ^ 1 << random_.randrange(8)]) + content[at + 1 :]


def fuzz(path, tmp_path, index_end, reference, count=200):
    accepted = 0
    target = tmp_path / f"fuzzed{path.suffix}"
    for what, content in damaged_copies(path.read_bytes(), index_end, count):
        target.write_bytes(content)
        try:
            loaded = read_model(target).network.state_dict()
        except CheckpointError:
            continue
        accepted += 1
        assert all(torch.equal(loaded[name], reference[name]) for name in reference), what
    return accepted


def test_fuzz_safetensors(st, tmp_path, state):
    length = int.from_bytes(st.read_bytes()[:8], "little")
    # Only a flip inside the metadata or of white space can leave the network as it was.
    assert fuzz(st, tmp_path, 8 + length, state) < 20


def test_fuzz_pickle(pth, tmp_path, state):
    # The index, the local headers and the padding; then the central directory, at the other end.
    with zipfile.ZipFile(pth) as file:
        index = file.getinfo(file.namelist()[0])
    fuzz(pth, tmp_path, index.header_offset + index.file_size + 200, state)


def test_fuzz_central_directory(pth, tmp_path, state):
    content = pth.read_bytes()
    start = content.find(b"PK\x01\x02")
    random_ = random.Random(1)
    for at in random_.sample(range(start, len(content)), 200):
        (tmp_path / "f.pth").write_bytes(content[:at] + bytes([content[at] ^ 1 << random_.randrange(8)]) + content[at + 1 :])
        try:
            loaded = read_model(tmp_path / "f.pth").network.state_dict()
        except CheckpointError:
            continue
        assert all(torch.equal(loaded[name], state[name]) for name in state), at


@pytest.mark.parametrize("case", ["esc_x2.safetensors", "esc_real_m_dysample_x2.safetensors", "esc_lte.pth"])
def test_fuzz_golden(shared, tmp_path, case):
    path = shared / "golden" / case
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little") if path.suffix == ".safetensors" else 20_000
    fuzz(path, tmp_path, end, read_model(path).network.state_dict())
