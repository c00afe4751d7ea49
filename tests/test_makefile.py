"""``make chat`` hands on what it is given, and nothing else is on its standard output."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """\
#!/bin/sh
for argument in "$@"; do printf '%s\\n' "[$argument]"; done
cat
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone that is already set up, with a program that shows what it is given."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "cmake", tmp_path / "cmake")
    program = tmp_path / ".venv" / "bin" / "kronk-agent"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)
    version = re.search(r"^llama-cpp-python==(.*)$", _read("constraints.txt"), re.MULTILINE)
    assert version
    stamps = tmp_path / ".venv" / ".stamps"
    stamps.mkdir()
    command = ["sh", "-c", "cat cmake/*.cmake | cksum | cut -d' ' -f1"]
    checksum = subprocess.check_output(command, cwd=tmp_path, text=True).strip()
    for stamp in ("venv", f"llama-cpp-python-{version[1]}-{checksum}", "runtime"):
        (stamps / stamp).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("", []),
        ("--help", ["--help"]),
        ("""-p "two words" --json""", ["-p", "two words", "--json"]),
        ("""-p 'for $5, $(pwd) `pwd` # and'""", ["-p", "for $5, $(pwd) `pwd` # and"]),
        ("""-p "it's" """, ["-p", "it's"]),
        ("""-p 'one\ntwo'""", ["-p", "one\ntwo"]),
    ],
)
def test_make_chat_hands_its_arguments_on(clone: Path, args: str, words: list[str]) -> None:
    run = _make(clone, "chat", f"ARGS={args}")

    assert (run.stdout, run.stderr) == ("".join(f"[{word}]\n" for word in ["chat", *words]), "")


def test_make_chat_hands_standard_input_on(clone: Path) -> None:
    assert _make(clone, "chat", stdin="a question\n").stdout == "[chat]\na question\n"


@pytest.mark.parametrize(
    ("built_with", "wanted", "is_rebuilt"),
    [
        ("", "", False),
        ("", "-DGGML_CUDA=on", True),
        ("-DGGML_CUDA=on", "-DGGML_CUDA=on", False),
        ("-DGGML_CUDA=on", "", False),
        ("-DGGML_CUDA=on", "-DGGML_VULKAN=on", True),
    ],
)
def test_another_build_of_llama_cpp_is_made_only_when_asked_for(
    clone: Path, built_with: str, wanted: str, is_rebuilt: bool
) -> None:
    stamps = clone / ".venv" / ".stamps"
    (stamp,) = stamps.glob("llama-cpp-python-*")
    stamp.write_text(f"{built_with}\n", encoding="utf-8")
    (stamps / "runtime").touch()

    plan = _make(clone, "--dry-run", "chat", f"CMAKE_ARGS={wanted}").stdout

    assert ("--force-reinstall" in plan) is is_rebuilt


def _make(clone: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    # As from a shell, also when make runs these tests.
    outer = ("MAKE", "MFLAGS", "CMAKE_ARGS", "ARGS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(outer)}
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
