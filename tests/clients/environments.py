"""Python environments of clients: each has its own, as they want different versions of packages."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "build" / "http-clients" / "venvs"


def python_of(name: str, requirements: Sequence[str]) -> Path | None:
    """The Python of a client's environment, made when it is first asked for; None if it cannot be.

    Args:
        name: of its folder.
        requirements: packages of fixed versions.
    """
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = "\n".join(requirements)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing {', '.join(requirements)} ...", file=sys.stderr)
    venv.create(folder, clear=True, with_pip=True)
    command = [
        str(python),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
        *requirements,
    ]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        return None
    stamp.write_text(wanted, encoding="utf-8")
    return python
