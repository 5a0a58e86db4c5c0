"""Says it when the napari tests are left out."""

from __future__ import annotations

import pytest

from .napari.conftest import MISSING


def test_the_napari_tests_can_run() -> None:
    if MISSING:
        pytest.skip(
            f"tests/napari needs {', '.join(MISSING)}: pip install -e '.[napari,test]' 'napari[pyqt6]' pytest-qt pytest-xvfb"
        )
