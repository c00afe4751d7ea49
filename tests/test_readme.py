"""The code blocks of the README and of docs/ work.

A block whose first line is a comment with a file name, such as ``# my_tools.py``, is that file for
all the others. Shell and Python blocks are run, YAML blocks loaded as configurations. A block after
``<!-- not run: REASON -->`` is only checked: of its commands, that such commands and flags exist.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from kronk_agent.config.loading import load_config

README = Path(__file__).parents[1] / "README.md"
PAGES = [README, *sorted(README.parent.glob("docs/*.md"))]

RUN_SHELL = r"""
make() {  # `make chat ARGS=…` hands ARGS on; that it does is shown in test_makefile.py
    [ "$1" = chat ] || { echo "make $1 cannot be run here" >&2; return 64; }
    local args="${2-}"
    eval "set -- ${args#ARGS=}"
    kronk-agent chat "$@"
}
"""
CHECK_SHELL = r"""
kronk-agent() { command kronk-agent "$@" --help >/dev/null; }
make() { command make --dry-run --file="$MAKEFILE" --directory="${MAKEFILE%/*}" "$1" >/dev/null; }
pip() { :; }
"""


@dataclass(frozen=True, slots=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    reason: str | None
    """Why it is not run, if it is not."""

    @property
    def name(self) -> str:
        return f"{self.page.stem}-line-{self.line}"

    @property
    def file_name(self) -> str | None:
        match = re.match(r"# ([\w-]+\.\w+)\n", self.text)
        return match and match[1]


def _blocks() -> list[Block]:
    return [block for page in PAGES for block in _blocks_of(page)]


def _blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    fence = re.compile(
        r"^(?:<!-- not run: (?P<reason>\S.*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
        flags=re.MULTILINE | re.DOTALL,
    )
    return [
        Block(page, text.count("\n", 0, m.start()) + 1, m["language"], m["text"], m["reason"])
        for m in fence.finditer(text)
    ]


def _all(language: str, *, are_run: bool = True) -> pytest.MarkDecorator:
    blocks = [b for b in _blocks() if b.language == language and (b.reason is None) == are_run]
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader would be: the README's files are there, and a home folder with nothing."""
    (tmp_path / "home").mkdir()
    for block in _blocks():
        if block.file_name is not None:
            (tmp_path / block.file_name).write_text(block.text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_of_a_language_that_is_tested(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    blocks = _blocks_of(page)

    assert [block.language for block in blocks] == [name for name in fences if name]
    assert {block.language for block in blocks} <= {"python", "sh", "yaml", "json", "mermaid"}
    assert len(fences) == 2 * len(blocks)


@_all("json")
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@_all("yaml")
def test_yaml_is_a_configuration(block: Block, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_text(block.text, encoding="utf-8")
    variables = dict.fromkeys(re.findall(r"\$\{(\w+)\}", block.text), "a value")

    load_config(path, environ=variables)


@pytest.mark.e2e
@pytest.mark.timeout(180)
@_all("python")
def test_python_runs(block: Block, folder: Path) -> None:
    _run([sys.executable, "-c", block.text], folder)


@pytest.mark.e2e
@pytest.mark.timeout(180)
@_all("sh")
def test_commands_run(block: Block, folder: Path) -> None:
    # Where a person would type, a question is piped in.
    _run(["bash", "-euc", RUN_SHELL + block.text], folder, stdin="What is 2 + 3?")


@_all("sh", are_run=False)
def test_commands_that_are_not_run_exist(block: Block, folder: Path) -> None:
    _run(["bash", "-euc", CHECK_SHELL + block.text], folder)


def _run(command: list[str], folder: Path, *, stdin: str = "") -> None:
    path = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    ours = ("KRONK_AGENT_", "XDG_", "CMAKE_ARGS", "MAKE", "MFLAGS")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
        "PATH": path,
        "HOME": str(folder / "home"),
        "MAKEFILE": str(README.with_name("Makefile")),
        # The starter model would ramble on.
        "KRONK_AGENT_SAMPLING__TEMPERATURE": "0",
        "KRONK_AGENT_AGENT__MAX_TOKENS": "64",
        "KRONK_AGENT_AGENT__MAX_STEPS": "2",
    }
    run = subprocess.run(
        command, cwd=folder, env=environ, input=stdin, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
