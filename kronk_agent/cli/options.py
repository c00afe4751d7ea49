"""What stands before the command: ``kronk-agent --config PATH --debug COMMAND``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """The root command's options; every command finds them in ``ctx.obj``."""

    config: Path | None
    """The YAML file named on the command line, if one was."""
    debug: bool
    """Show tracebacks and the log."""
