"""docs/architecture.md names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT, ROOT / "kronk_agent", ROOT / "tools", ROOT / "mcp_servers")


def test_every_file_and_folder_that_is_named_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w.]+/[\w./]*)`", text))

    missing = {name for name in names if not any((folder / name).exists() for folder in FOLDERS)}

    assert len(names) > 30
    assert missing == set()
