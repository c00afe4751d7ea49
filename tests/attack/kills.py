"""Programs that are killed while they write, many times: nothing they acknowledged is lost.

Kills ``kronk-agent serve`` while three clients add to conversations, a program that makes API keys,
and ``kronk-agent chat`` while it answers and saves what it computed. Each next start must work.

    PYTHONPATH=tests python -m attack.kills 200
"""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from attack.support import Program, add, begin, client, serving, texts
from limits import seconds

from kronk_agent.api.middleware.api_keys import KeyFile

CLIENTS = 3
MOST_ANSWERS = 30
"""Acknowledged before a kill, at most."""
SERVE = "tools: []\nmodel: null\n"
CHAT = "tools: []\nengine: {cache_conversations: true}\n"
MAKES_KEYS = """
import sys
from pathlib import Path
from kronk_agent.api.middleware.api_keys import KeyFile
for number in range(1000):
    print(KeyFile(Path(sys.argv[1])).create(f"{sys.argv[2]}-{number}"), flush=True)
"""


class Servers:
    """A home folder whose servers are killed, and what they have acknowledged."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._kept: dict[str, list[str]] = {}

    def kill(self, after: int) -> None:
        """Check what the last one left, and kill this one after so many answers."""
        with serving(self._home, SERVE) as program:
            self.check(program)
            self._kept = {}
            answers = threading.Semaphore(0)
            writers = [
                threading.Thread(target=self._write, args=(program, answers))
                for _ in range(CLIENTS)
            ]
            for writer in writers:
                writer.start()
            for _ in range(after):
                assert answers.acquire(timeout=seconds(20)), "the server does not answer"
            program.process.kill()
            for writer in writers:
                writer.join()

    def check(self, program: Program) -> None:
        """All that was acknowledged is there, and at most one more of each client."""
        with client(program) as http:
            for id, kept in self._kept.items():
                found = texts(http, id)
                assert found[: len(kept)] == kept, f"{id} lost {kept[len(found) :]}"
                assert len(found) <= len(kept) + 1, f"{id} has {found[len(kept) :]} too many"

    def check_at_last(self) -> None:
        """What the last one left is there, and the database is sound."""
        with serving(self._home, SERVE) as program:
            self.check(program)
        [file] = self._home.rglob("sessions.db")
        connection = sqlite3.connect(file)
        [(verdict,)] = connection.execute("PRAGMA integrity_check")
        connection.close()
        assert verdict == "ok", verdict

    def _write(self, program: Program, answers: threading.Semaphore) -> None:
        with client(program) as http:
            try:
                id = begin(http)
                kept = self._kept[id] = []
                for number in range(100):
                    text = f"{number} " + "x" * 2000
                    if add(http, id, text).status_code != 200:
                        return
                    kept.append(text)
                    answers.release()
            except httpx2.TransportError:
                return  # it was killed


def kill_while_it_makes_keys(home: Path, round: int, after: int) -> None:
    """Every key that was shown lets its owner in."""
    file = home / "keys.json"
    command = [sys.executable, "-c", MAKES_KEYS, str(file), str(round)]
    with killed(command, after) as shown:
        tokens = list(shown)
    keys = KeyFile(file)
    lost = [token for token in tokens if keys.find(token.strip()) is None]
    assert not lost, f"{len(lost)} of {len(tokens)} keys are lost"
    keys.create(f"after {round}")


def kill_while_it_answers(home: Path, after: int) -> None:
    """Killed, whatever it was at; the next one reads what this one saved."""
    file = home / "chat.yaml"
    file.write_text(CHAT, encoding="utf-8")
    command = [sys.executable, "-m", "kronk_agent", "chat", "--config", str(file), "--json"]
    command += [
        "--max-tokens",
        "16",
        "--temperature",
        "0",
        "-p",
        f"Say {after}. " + "Please. " * 50,
    ]
    with killed(command, after, home=home) as shown:
        list(shown)


def ask(home: Path) -> str:
    """What a chat answers that is left alone."""
    command = [sys.executable, "-m", "kronk_agent", "chat", "--config", str(home / "chat.yaml")]
    command += ["--max-tokens", "8", "--temperature", "0", "-p", "Say 1. " + "Please. " * 50]
    return subprocess.run(
        command, env=environment(home), check=True, capture_output=True, text=True
    ).stdout


@contextmanager
def killed(command: list[str], after: int, *, home: Path | None = None) -> Iterator[Iterator[str]]:
    """A program's lines, which is killed once it has written so many, or all of its answer."""
    env = None if home is None else environment(home)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as process:
        assert process.stdout is not None
        first: list[str] = []
        while len(first) < after and '"run_finished"' not in "".join(first[-1:]):
            first.append(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().splitlines(keepends=True)
        # Of the last line only a part may have come.
        yield (line for line in [*first, *rest] if line.endswith("\n"))


def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": "", "OMP_WAIT_POLICY": "passive"}


def kill(number: int, home: Path, *, seed: int = 0) -> None:
    """So many kills: of five, three of servers, one of a maker of keys, one of a chat.

    Raises:
        AssertionError: something that was acknowledged is lost, or the next start fails.
    """
    chance = random.Random(seed)
    servers = Servers(home)
    answer = None
    for round in range(number):
        after = chance.randint(1, MOST_ANSWERS)
        match round % 5:
            case 1:
                kill_while_it_makes_keys(home, round, after)
            case 3:
                kill_while_it_answers(home, after)
                said = ask(home)
                answer = answer or said
                assert said == answer, f"a chat answers {said!r} after a kill, not {answer!r}"
            case _:
                servers.kill(after)
    servers.check_at_last()


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as home:
        kill(number, Path(home))
    print(f"{number} kills: nothing that was acknowledged is lost")


if __name__ == "__main__":
    main()
