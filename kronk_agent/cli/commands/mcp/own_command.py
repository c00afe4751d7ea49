"""How this very kronk-agent is started by other programs, from anywhere."""

from __future__ import annotations

import sys
from pathlib import Path


def own_command() -> list[str]:
    """The command of this installation, with its whole path."""
    program = Path(sys.executable).parent / "kronk-agent"
    return [str(program)] if program.exists() else [sys.executable, "-m", "kronk_agent"]
