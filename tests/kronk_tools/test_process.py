"""The processes that read, and what becomes of them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from limits import seconds

from kronk_agent.errors import ToolError
from kronk_tools.reading.document import Document, DocumentSource
from kronk_tools.reading.process import ReaderPool

PAGE = DocumentSource(b"<p>The page.", "https://example.com/", "text/html")
HARD = DocumentSource(
    ("<body>" + f"<p {' '.join(f'a{n}' for n in range(3_000))}>x" * 100).encode(),
    "https://example.com/hard",
    "text/html",
)


async def read(
    by: ReaderPool, source: DocumentSource = PAGE, *, within: float = seconds(10)
) -> Document:
    with anyio.fail_after(within + seconds(5)):
        return await by.read(source, deadline=anyio.current_time() + within)


def processes(of: ReaderPool) -> list[subprocess.Popen[bytes]]:
    return list(of._idle)


async def test_the_process_is_kept_for_the_next_page() -> None:
    by = ReaderPool()

    assert (await read(by)).text == "The page."
    first = processes(by)
    assert (await read(by)).text == "The page."

    assert processes(by) == first
    assert len(first) == 1


async def test_at_most_two_pages_are_read_at_the_same_time() -> None:
    by = ReaderPool()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(read, by)

    assert 1 <= len(processes(by)) <= 2


async def test_at_the_deadline_the_process_is_ended() -> None:
    by = ReaderPool()
    await read(by)
    (process,) = processes(by)

    with pytest.raises(ToolError, match="takes too long to read: use another source"):
        await read(by, HARD, within=0.3)

    assert process.returncode is not None
    assert (await read(by)).text == "The page."


async def test_when_the_call_is_cancelled_the_process_is_ended() -> None:
    by = ReaderPool()
    await read(by)
    (process,) = processes(by)

    with anyio.move_on_after(0.3):
        await read(by, HARD)

    assert process.returncode is not None


async def test_a_process_that_ended_meanwhile_is_replaced() -> None:
    by = ReaderPool()
    await read(by)
    (process,) = processes(by)
    process.kill()
    process.wait()

    assert (await read(by)).text == "The page."
    assert processes(by) != [process]


async def test_a_refusal_comes_through_and_the_process_goes_on() -> None:
    by = ReaderPool()

    with pytest.raises(ToolError, match=r"^https://example\.com/ has no text to read"):
        await read(by, DocumentSource(b"<p>", "https://example.com/", "text/html"))

    assert len(processes(by)) == 1


async def test_a_reader_that_is_gone_leaves_no_process_behind() -> None:
    by = ReaderPool()
    await read(by)
    (process,) = processes(by)

    del by

    assert process.returncode is not None


def test_the_process_gets_no_secrets_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BRAVE_API_KEY", "hunter2")
    by = ReaderPool()
    anyio.run(read, by)
    (process,) = processes(by)

    environ = Path(f"/proc/{process.pid}/environ")
    if not environ.exists():
        pytest.skip("this system does not show the environment of a process")
    assert b"hunter2" not in environ.read_bytes()


PARENT = """
import anyio, os
from kronk_tools.reading.process import ReaderPool
from kronk_tools.reading.document import DocumentSource

async def main():
    by = ReaderPool()
    source = DocumentSource(b"<p>x", "http://x/", "text/html")
    await by.read(source, deadline=anyio.current_time() + 20)
    print(by._idle[0].pid, flush=True)
    os._exit(0)

anyio.run(main)
"""


def test_it_ends_with_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT], capture_output=True, text=True, check=True
    )

    gone = f"/proc/{int(done.stdout)}"
    while Path(gone).exists():
        time.sleep(0.01)
