from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from limits import seconds

Event: TypeAlias = dict[str, Any]

INHERITED = ("PATH", "OMP_WAIT_POLICY")


@dataclass(frozen=True)
class Finished:
    """What a run of the program left."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[Event]:
        """The lines of ``--json``."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def of_type(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]


KronkAgent: TypeAlias = Callable[..., Finished]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def kronk_agent(home: Path) -> KronkAgent:
    """Runs the command in a process of its own, with an empty home."""

    def run(*args: str, stdin: str = "", config: str | None = None) -> Finished:
        options = []
        if config is not None:
            path = home / "kronk.yaml"
            path.write_text(config, encoding="utf-8")
            options = ["--config", str(path)]
        done = subprocess.run(
            [sys.executable, "-m", "kronk_agent", *options, *args],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=seconds(100),
            cwd=home,
            env={"HOME": str(home)} | {name: os.environ[name] for name in INHERITED},
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run
