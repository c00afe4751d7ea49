"""The import contracts of pyproject.toml hold, and each of them can fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE_ROOTS = (".", "tools", "mcp_servers")
PACKAGES = ("kronk_agent", "tools/kronk_tools", "mcp_servers/kronk_mcp_servers")

# One offence against every contract; an import inside a function counts as any other.
OFFENCES = {
    "kronk_agent/messages.py": "import kronk_agent.engine",
    "kronk_agent/agent/__init__.py": "def peek():\n    import llama_cpp",
    "kronk_agent/runtime/model_pool.py": "import mcp",
    "tools/kronk_tools/__init__.py": "from rich.console import Console",
    "kronk_agent/host/__init__.py": "import httpx",
}


def test_the_code_keeps_every_contract() -> None:
    verdicts, output = _lint_imports(ROOT)

    assert verdicts, output
    assert set(verdicts.values()) == {"KEPT"}, output


def test_every_contract_is_broken_by_an_offence_against_it(tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, offence in OFFENCES.items():
        with (tmp_path / file).open("a", encoding="utf-8") as module:
            module.write(f"\n{offence}\n")

    verdicts, output = _lint_imports(tmp_path)

    assert len(verdicts) == len(OFFENCES), output
    assert set(verdicts.values()) == {"BROKEN"}, output


def _lint_imports(root: Path) -> tuple[dict[str, str], str]:
    """What import-linter says of the tree: a verdict for each contract, and all of its output."""
    program = Path(sysconfig.get_path("scripts")) / "lint-imports"
    path = os.pathsep.join(str(root / source) for source in SOURCE_ROOTS)
    run = subprocess.run(
        [program, "--no-logo", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    output = run.stdout + run.stderr
    return dict(re.findall(r"^(.+?) +(KEPT|BROKEN)$", output, flags=re.MULTILINE)), output
