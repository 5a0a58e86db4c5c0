"""Where exported files go: names as they are given, nothing of somebody else lost, sizes told. No format's packages run."""

from __future__ import annotations

from pathlib import Path

import pytest

from esc_plugin import EscError
from esc_plugin.export.export import export
from esc_plugin.export.formats import Format, format_of
from esc_plugin.export.order import Order

from .commands import inside_the_test
from .test_export import CLASSIC, random_model


class Pretended:
    """A converter that writes a little: what is done with files of a format can be seen without its packages."""

    def convert(self, order: Order, path: Path) -> None:
        kind = format_of(path)
        assert path.suffix == kind.suffix, "converters know no other"
        parts = [path / name for name in ("Manifest.json", "Data/weights")] if kind.folder else [path]
        for part in (*parts, *map(path.with_suffix, kind.companions)):
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(bytes(1000))

    def describe(self, path: Path, facts: object) -> None:
        pass


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Format, "converter", Pretended())
    for module in ("esc_plugin.export.export", "esc_plugin.cli.study"):
        monkeypatch.setattr(f"{module}.needs", lambda extra: None)
    monkeypatch.setattr("esc_plugin.cli.study.open_model", lambda name, **_: random_model(CLASSIC, name))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["A.ONNX", "A.Param", "A.PTE", "A.MLPACKAGE", "A.XML"])
def test_a_suffix_in_large_letters_is_kept(name: str, pretended: None, tmp_path: Path) -> None:
    exported = export(random_model(CLASSIC), tmp_path / name, size=(32, 32), check_it=False)
    assert exported.path == tmp_path / name
    assert {exported.path, *exported.companions} == set(tmp_path.iterdir())
    assert exported.size == sum(map(len, contents(tmp_path).values())) >= 1000


@pytest.mark.parametrize(
    ("there", "name", "message"),
    [
        ("a.mlpackage/notes.txt", "a.mlpackage", "a folder of something else"),
        ("a.onnx/notes.txt", "a.onnx", "a folder of something else"),
        ("a.bin/notes.txt", "a.xml", "a folder of something else"),
        ("a.param", "a.xml", r"a\.bin', which belongs to .*a\.param'"),
        ("a.xml", "a.param", r"a\.bin', which belongs to .*a\.xml'"),
    ],
)
def test_nothing_of_somebody_else_is_replaced(there: str, name: str, message: str, pretended: None, tmp_path: Path) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("precious")
    with pytest.raises(EscError, match=message):
        export(random_model(CLASSIC), tmp_path / name, size=(32, 32), check_it=False)
    assert contents(tmp_path) == {there: b"precious"}


def test_a_package_is_replaced_if_one_says_so_and_its_size_is_told(
    pretended: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    esc = inside_the_test(monkeypatch, capsys)
    export_it = ["export", "mine", tmp_path / "a.mlpackage", "--size", 32, 32, "--no-check"]
    (tmp_path / "a.mlpackage").mkdir()
    (tmp_path / "a.mlpackage" / "Manifest.json").write_text("older")
    said = esc(*export_it, code=1)
    assert "is there already; choose another name, or replace it with --overwrite." in " ".join(said.split())
    assert contents(tmp_path) == {"a.mlpackage/Manifest.json": b"older"}
    monkeypatch.setattr(Pretended, "convert", lambda self, order, path: package(path, 2_600_000))
    assert "2.6 MB, Core ML" in " ".join(esc(*export_it, "--overwrite").split())


def package(path: Path, size: int) -> None:
    path.mkdir()
    (path / "Manifest.json").write_bytes(bytes(size))
