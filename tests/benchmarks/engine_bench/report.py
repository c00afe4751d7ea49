"""The table, and the JSON file beside it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from importlib import metadata
from pathlib import Path

from benchmarks.engine_bench.measuring import Figure, Measured

from kronk_agent.messages import JsonObject

_RESULTS = Path(__file__).parent.parent / "results"
_PACKAGES = ("kronk-agent", "llama-cpp-python", "llguidance", "numpy")


def table(figures: Iterable[Figure]) -> str:
    """In Markdown, as docs/engine.md has it."""
    lines = [
        "| measured | ours | baseline | ratio | bar | |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_line, figures)])


def _line(figure: Figure) -> str:
    bar = figure.bar
    verdict = "" if bar is None else "yes" if bar.is_reached_by(figure.value) else "**no**"
    cells = (figure.title, figure.ours, figure.theirs, f"{figure.value:.3g}", str(bar or ""))
    return f"| {' | '.join(cells)} | {verdict} |"


class ResultFile:
    """``results/engine-DATE.json``. What several runs of one day measured comes together in it;
    every measurement says of which commit it is."""

    def __init__(self, folder: Path = _RESULTS) -> None:
        self.path = folder / f"engine-{date.today().isoformat()}.json"
        self._content: JsonObject = (
            json.loads(self.path.read_text("utf-8")) if self.path.is_file() else {}
        )

    def add(self, name: str, measured: Measured, *, is_quick: bool) -> None:
        """Put a measurement in its place and write the file."""
        self._content |= {figure.key: figure.value for figure in measured.figures}
        measurements = self._content.setdefault("raw", {})
        assert isinstance(measurements, dict)
        measurements[name] = {"commit": _commit(), "quick": is_quick, **measured.raw}
        self._content["versions"] = versions()
        self._content["machine"] = machine()
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self._content, indent=1) + "\n", encoding="utf-8")


def versions() -> JsonObject:
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
    }


def machine() -> JsonObject:
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "system": platform.platform(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return platform.processor()
    lines = (line.split(":", 1) for line in cpuinfo.read_text("utf-8").splitlines())
    fields = {line[0].strip(): line[1].strip() for line in lines if len(line) == 2}
    family, model = fields.get("cpu family", "?"), fields.get("model", "?")
    return f"{fields.get('model name', platform.processor())} (family {family}, model {model})"


def _commit() -> str:
    """Of the working tree, with a plus sign where that has changes."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
