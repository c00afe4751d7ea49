"""Attack everything, and print a table of what held: ``make attack``.

Runs the tests of this folder, then the attacks that take minutes. The exit status is 1 if anything
got in.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SCRIPT_SECONDS = 900
"""After which an attack counts as one that hung the program."""


@dataclass(slots=True)
class Door:
    """What was tried at one of them."""

    name: str
    tries: int = 0
    got_in: int = 0
    skipped: int = 0

    @property
    def survived(self) -> int:
        return self.tries - self.got_in


class Doors:
    """A pytest plugin that counts the tests of each door, which a module names as ``DOOR``."""

    def __init__(self) -> None:
        self._by_name: dict[str, Door] = {}
        self._of_test: dict[str, Door] = {}

    def __iter__(self) -> Iterator[Door]:
        return (door for door in self._by_name.values() if door.tries or door.skipped)

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            assert isinstance(item, pytest.Function)
            assert item.module is not None
            name = str(item.module.DOOR)
            self._of_test[item.nodeid] = self._by_name.setdefault(name, Door(name))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        door = self._of_test[report.nodeid]
        if report.skipped:
            door.skipped += 1
        elif report.when == "call":
            door.tries += 1
            door.got_in += report.failed
        elif report.failed:
            door.tries += 1
            door.got_in += 1


def try_tests(arguments: Sequence[str]) -> list[Door]:
    """Those of this folder."""
    doors = Doors()
    code = pytest.main([str(HERE), "-q", *arguments], plugins=[doors])
    found = list(doors)
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        found.append(Door("the tests themselves, which did not run", tries=1, got_in=1))
    return found


def try_script(name: str, module: str, *arguments: str) -> Door:
    """One that takes minutes; its last argument is the number of tries."""
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", module, *arguments]
    try:
        ended = subprocess.run(command, check=False, timeout=SCRIPT_SECONDS)
        is_in = ended.returncode != 0
    except subprocess.TimeoutExpired:
        is_in = True
    return Door(name, tries=int(arguments[-1]), got_in=int(is_in))


def print_table(doors: Sequence[Door]) -> None:
    width = max(len(door.name) for door in doors)
    print(f"\n{'attack surface':{width}}  {'attempts':>8}  {'succeeded':>9}  {'survived':>8}")
    for door in doors:
        note = f"  ({door.skipped} skipped)" if door.skipped else ""
        print(
            f"{door.name:{width}}  {door.tries:8,}  {door.got_in:9,}  {door.survived:8,}{note}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--requests", type=int, default=10_000, metavar="N")
    parser.add_argument("--models", type=int, default=300, metavar="N", help="damaged model files")
    numbers, pytest_arguments = parser.parse_known_args()

    doors = try_tests(pytest_arguments)
    doors.append(try_script("many kills", "attack.kills", str(numbers.kills)))
    doors.append(try_script("many requests", "attack.mixed_requests", str(numbers.requests)))
    if importlib.util.find_spec("attack.gguf") is not None:
        # Not before pytest, which is to load anyio first.
        from kronk_agent.models import store

        base = str(store.starter_model())
        doors.append(try_script("model files", "attack.gguf", base, str(numbers.models)))
    print_table(doors)
    return int(any(door.got_in for door in doors))


if __name__ == "__main__":
    sys.exit(main())
