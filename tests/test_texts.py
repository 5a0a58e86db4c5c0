"""Amounts and paths as people write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esc_plugin import EscError
from esc_plugin.texts import check_path, parse_bytes, quoted

from .systems import symlink


def test_an_error_is_a_line_whatever_is_in_it() -> None:
    assert str(EscError("a µ/☃ of 'é', \n\x1b[31m\u202e\udcff.")) == r"a µ/☃ of 'é', \n\x1b[31m\u202e\udcff."


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 2**32), ("1.5 GiB", 3 * 2**29), ("512m", 2**29), ("8kb", 2**13), ("2000000", 2_000_000)]
)
def test_amounts(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "a lot", "-1", "0", "nan", "inf", "1e400", "9" * 400, "9" * 5000 + "GB", "٤GB", "1..2GB"]
)
def test_no_amounts(text: str) -> None:
    with pytest.raises(EscError) as caught:
        parse_bytes(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["8", " 8 ", "1000000"])
def test_bytes_without_a_unit_are_a_slip(text: str) -> None:
    with pytest.raises(EscError, match=f"write {text.strip()}GB"):
        parse_bytes(text)


def test_paths(tmp_path: Path) -> None:
    for fine in (tmp_path, tmp_path / "nothing" / "there.png", "a" * 200, "{stem}_x{scale}.{ext}", tmp_path / "é.png"):
        check_path(fine)
    for bad in ("", "a" * 256, tmp_path / ("é" * 200), "a\0b", "\udfff" * 3):
        with pytest.raises(EscError):
            check_path(bad)


def test_links_in_a_circle(tmp_path: Path) -> None:
    symlink(tmp_path / "loop", tmp_path / "loop")
    with pytest.raises(EscError, match="loop"):
        check_path(tmp_path / "loop" / "out.png")


def test_what_a_user_wrote_fits_into_a_line() -> None:
    assert quoted("photo.png") == "'photo.png'"
    assert len(quoted("9" * 5000)) < 100
    assert len(quoted(10**400)) < 100
    assert "\n" not in quoted("a\nb")
    assert quoted(np.eye(2)) == "array([[1., 0.], [0., 1.]])"
