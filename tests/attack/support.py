"""``kronk-agent serve`` as a program of its own, and what it keeps, for attacks that need them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from limits import seconds


@dataclass(frozen=True)
class Program:
    """One that runs."""

    process: subprocess.Popen[str]
    url: str
    """Without a path."""


@contextmanager
def serving(
    home: Path,
    config: str = "{}",
    *,
    environment: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> Iterator[Program]:
    """A server that is up, and is killed at the block's end if it still runs.

    Args:
        home: its home folder, with its configuration.
        config: YAML.
        environment: more of it.
        before: is called in the new process, before the program begins.
    """
    file = home / "config.yaml"
    file.write_text(config, encoding="utf-8")
    command = [sys.executable, "-m", "kronk_agent", "serve", "--port", "0", "--config", str(file)]
    basics = {
        "HOME": str(home),
        "PATH": "",
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
    }
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=basics | dict(environment or {}),
        preexec_fn=before,
    ) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            assert said.startswith("serving on "), said + process.stderr.read()
            yield Program(process, said.split()[2].removesuffix("/v1;"))
        finally:
            process.kill()
            process.wait(timeout=seconds(10))


def client(program: Program) -> httpx2.Client:
    return httpx2.Client(base_url=program.url, timeout=seconds(20))


def begin(http: httpx2.Client) -> str:
    """A new conversation."""
    return str(http.post("/v1/conversations", json={}).json()["id"])


def add(http: httpx2.Client, id: str, text: str) -> httpx2.Response:
    """Add a message to a conversation."""
    item = {"role": "user", "content": text}
    return http.post(f"/v1/conversations/{id}/items", json={"items": [item]})


def texts(http: httpx2.Client, id: str) -> list[str]:
    """The first hundred messages of a conversation."""
    listed = http.get(f"/v1/conversations/{id}/items", params={"order": "asc", "limit": 100})
    return [item["content"][0]["text"] for item in listed.json()["data"]]
