"""The command with which other programs start this installation."""

from __future__ import annotations

import sys
from pathlib import Path


def own_command() -> list[str]:
    """Return the command of this installation, with an absolute path."""
    program = Path(sys.executable).parent / "kronk-agent"
    return [str(program)] if program.exists() else [sys.executable, "-m", "kronk_agent"]
