"""Programs end with us: those that notice, those that do not, and what they started."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import anyio
import psutil
import pytest
from host.support import call, faulty, hosting, running, started, text_of, until
from limits import seconds

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="job objects do it on Windows")

HOST = """
import json, sys
from pathlib import Path
import anyio
from host.support import faulty, hosting

async def main() -> None:
    pids, folder = sys.argv[1:]
    server = faulty("deaf", env={"PIDS": pids}, startup_timeout=60)
    async with hosting({"x": server}, Path(folder)):
        await anyio.sleep_forever()

anyio.run(main)
"""


async def test_a_program_that_ignores_everything_ends_when_we_are_killed(
    tmp_path: Path, pids: Path
) -> None:
    tests = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOST, str(pids), str(tmp_path)]
    with anyio.fail_after(seconds(20)):
        async with await anyio.open_process(command, env={"PYTHONPATH": str(tests)}) as host:
            await until(lambda: len(running(pids)) == 1)
            host.send_signal(signal.SIGKILL)
            await until(lambda: running(pids) == [])


async def test_no_watchdog_outlives_its_program(tmp_path: Path, pids: Path) -> None:
    with anyio.fail_after(seconds(20)):
        async with hosting({"x": faulty("healthy", env={"PIDS": str(pids)})}, tmp_path) as host:
            await host.wait_ready()
            (pid,) = started(pids)
            (watchdog,) = psutil.Process(pid).children()
        await until(lambda: not watchdog.is_running() or watchdog.status() == "zombie")


async def test_a_program_is_started_as_it_would_be_without_one(tmp_path: Path) -> None:
    """Its environment, its arguments and its parent are the same."""
    with anyio.fail_after(seconds(20)):
        async with hosting({"x": faulty("environment", env={"A": "b"})}, tmp_path) as host:
            await host.wait_ready()
            environment = json.loads(text_of(await call(host, "x__ping")))

    names = {"A", "PWD_NOW", "HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"}
    assert set(environment) - names <= {"LC_CTYPE"}  # which Python sets for itself
