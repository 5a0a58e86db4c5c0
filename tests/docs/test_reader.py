"""What is wrong on a page is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .commands import check, commands, words_wrong_in
from .pages import Block, blocks
from .reader import Reader, quick, why_not

PAGE = "README.md"


def failures(language: str, text: str, comment: str = "") -> list[str]:
    said: list[tuple[str, ...]] = []
    reader = Reader(lambda *words: said.append(words) or "")
    for block in blocks(PAGE, f"{comment}\n\n```{language}\n{text}\n```\n"):
        reader.read(block)
    return reader.failures


def of(text: str) -> Block:
    return Block(PAGE, 1, "sh", text)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("esc-sr upscale photo.png --sise 2", "No such option"),
        ("esc-sr upscale photo.png --width many", "valid integer"),
        ("esc-sr upscale", "Missing"),
        ("esc-sr enlarge photo.png", "no command: 'enlarge'"),
        ("PYTHONPATH=. python -m esc_plugin.cli upscale a.png --sise 2", "No such option"),
        ("srun -N 2 python -m esc_plugin.cli upscale a.png --sise 2", "No such option"),
        ("cat a.png | esc-sr upscale a.png --sise 2", "No such option"),
        ("esc-sr train nano --data photos/ --set loss={l1:1}", "unknown"),
        ('pip install -e ".[cli,nothing]"', "no extra: {'nothing'}"),
        ("make everything", "no target of the Makefile: {'everything'}"),
        ("python benchmarks/speed.py --nothing", "no option of benchmarks/speed.py: --nothing"),
        ("python benchmarks/nothing.py", "nothing.py"),
        ("python -m esc_nothing", "no module: esc_nothing"),
        ("enlarge photo.png", "nothing is known of 'enlarge'"),
    ],
)
def test_wrong_commands_are_found_without_running_them(line: str, problem: str) -> None:
    (command,) = [one for one in commands(of(line), {}) if one.program != "cat"]
    with pytest.raises((Exception, SystemExit), match=problem.replace("{", r"\{").replace("(", r"\(")):
        check(command)


def test_commands_are_read_as_by_a_shell() -> None:
    text = """# a comment
data="--data nuclei --data photos"     # another
esc-sr train nano $data \\
    --set "loss={l1: 1}"
"""
    (command,) = commands(of(text), {})
    assert command.arguments == ["train", "nano", "--data", "nuclei", "--data", "photos", "--set", "loss={l1: 1}"]


def test_trainings_are_short_and_results_are_replaced() -> None:
    words = quick(["train", "nano", "--minutes", "90", "-o", "a"])
    assert words[:4] == ["train", "nano", "-o", "a"]
    assert "--minutes" not in words
    assert quick(["check", "a.png", "b.png"]) == ["check", "a.png", "b.png"]
    assert quick(["upscale", "a.png"])[-1] == "--overwrite"
    assert quick(["export", "esc-nano-x2", "a.onnx"])[1] != "esc-nano-x2"


@pytest.mark.parametrize(
    ("language", "text", "problem"),
    [
        ("python", "1 / 0", "ZeroDivisionError"),
        ("python", "print(", "SyntaxError"),
        ("python", "from esc_plugin.measure import nothing", "esc_plugin.measure has no nothing"),
        ("sh", "esc-sr upscale photo.png --sise 2", "NoSuchOption"),
        ("yaml", "models: [{name: a}]", "scale"),
        ("yaml", "model: ESC-lt\nschedul: {}", None),
        ("yaml", "model: ESC-lt\noptimizer: {rate: 1}", "rate"),
        ("yaml", "a: 1\na: 2", "'a'"),
    ],
)
def test_wrong_blocks_are_found(
    language: str, text: str, problem: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = failures(language, text)
    if problem is None:
        assert found == []  # of another program
    else:
        (said,) = found
        assert said.startswith(f"{PAGE}:3: ")
        assert problem in said


def test_a_block_that_says_why_is_checked_and_not_run() -> None:
    comment = "<!-- not run: it divides -->"
    assert failures("python", "1 / 0", comment) == []
    assert failures("python", "1 / 0", "<!-- a comment -->") != []
    assert "SyntaxError" in failures("python", "1 /", comment)[0]
    assert "has no nothing" in failures("python", "from esc_plugin.measure import nothing\n1 / 0", comment)[0]
    assert "NoSuchOption" in failures("sh", "esc-sr models --sise", comment)[0]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_pipes_run_in_a_shell() -> None:
    assert failures("sh", "esc-sr models | grep esc-nano-x2") == []
    (said,) = failures("sh", "esc-sr models | grep esc-nano-x3000")
    assert "AssertionError" in said


@pytest.mark.parametrize(
    "line",
    [
        "make test",
        "esc-sr --install-completion",
        "esc-sr publish a.pth me/a",
        "esc-sr try",
        "esc-sr upscale s3://bucket/a.zarr",
        "srun -N 2 esc-sr",
    ],
)
def test_what_is_not_run_says_why(line: str) -> None:
    (command,) = commands(of(line), {})
    assert why_not(command)


def test_parts_of_commands_are_checked() -> None:
    assert words_wrong_in("esc-sr models --verify") == []
    assert words_wrong_in("esc-sr --help") == []
    assert words_wrong_in("esc-sr check --sise=2") == ["esc-sr check --sise=2: --sise"]
    assert words_wrong_in("esc-sr enlarge") == ["esc-sr enlarge"]
