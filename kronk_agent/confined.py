"""Work in a process of its own, which is killed where it takes too much time or memory.

For work on foreign input in code that has no bounds of its own: native libraries, templates.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TypeAlias, cast

from kronk_agent.messages import JsonValue

_MIB = 1 << 20
_STARTING_SECONDS = 60.0
"""Wall-clock time for a process to start on a busy machine."""
_ENVIRONMENT = (
    *("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "TZ"),
    "XDG_CACHE_HOME",
)
"""Variables a child is given; it has no business with the others, secrets among them."""

Answer: TypeAlias = Callable[[JsonValue], JsonValue]


class ConfinedError(Exception):
    """The work was stopped or failed; the text says why, to go on after "it"."""

    def __init__(self, reason: str, *, is_crash: bool = False) -> None:
        self.is_crash = is_crash
        """The code itself ended the process, as it would again."""
        super().__init__(reason)


class Confined:
    """A child process that answers questions one at a time. Safe on any thread.

    It starts with the first question. After a ``ConfinedError`` it is gone for good.

    Args:
        service: ``package.module:function``. The child calls it once with ``arguments``, and the
            function it returns with every question. Questions and answers are JSON.
        arguments: what the service is made with.
        memory_mib: memory the answers may take beyond what the service itself took.
    """

    def __init__(self, service: str, *arguments: JsonValue, memory_mib: int | None = None) -> None:
        self._opening: JsonValue = [service, list(arguments), memory_mib]
        self._memory_mib = memory_mib
        self._asking = threading.Lock()
        self._starting = threading.Lock()
        self._child: _Child | None = None
        self._is_closed = False

    def start(self) -> None:
        """Start the child already, without waiting for it.

        Raises:
            ConfinedError: it was closed.
        """
        with self._starting:
            if self._is_closed:
                raise ConfinedError("was closed")
            if self._child is None:
                self._child = _Child()
                weakref.finalize(self, self._child.kill)
                self._child.send(self._opening)

    def ask(self, question: JsonValue, *, seconds: float) -> JsonValue:
        """The child's answer.

        Args:
            question: what the service is called with.
            seconds: processor time it may take, so that a busy machine changes nothing.

        Raises:
            ConfinedError: it took too long or too much memory, crashed, raised, or was closed.
        """
        with self._asking:
            self.start()
            assert self._child is not None
            try:
                self._child.send([seconds, question])
                is_there = self._child.connection.poll(_STARTING_SECONDS + 10 * seconds)
                reply = self._child.receive() if is_there else None
            except (OSError, EOFError, ValueError):
                reply = None
            match reply:
                case [None, answer]:
                    return cast("JsonValue", answer)
                case [str(error), _]:
                    self.close()
                    raise ConfinedError(error)
                case _:
                    raise self._ended(seconds)

    def close(self) -> None:
        """Kill the child, whatever it is doing. It may be called again."""
        with self._starting:
            self._is_closed = True
        if self._child is not None:
            self._child.kill()

    def _ended(self, seconds: float) -> ConfinedError:
        """Why the child gave no answer."""
        assert self._child is not None
        was_closed = self._is_closed
        self.close()
        status = self._child.process.returncode
        if was_closed:
            return ConfinedError("was closed")
        if status in (-signal.SIGPROF, -signal.SIGKILL):
            return ConfinedError(f"took more than {seconds:g} s of processor time")
        if status == -signal.SIGABRT and self._memory_mib is not None:
            reason = f"took more than {self._memory_mib} MiB of memory, or crashed"
            return ConfinedError(reason, is_crash=True)
        return ConfinedError(f"crashed (exit status {status})", is_crash=True)


class _Child:
    """The process and the connection to it."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND.format(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is not for it
                env={
                    **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    "GGML_NO_BACKTRACE": "1",
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        self._killing = threading.Lock()

    def send(self, value: JsonValue) -> None:
        with contextlib.suppress(OSError):  # it is gone, which receiving finds out
            self.connection.send_bytes(json.dumps(value).encode())

    def receive(self) -> object:
        return json.loads(self.connection.recv_bytes())

    def kill(self) -> None:
        """End it and wait until it is gone. It may be called again, and on any thread."""
        self.process.kill()
        with self._killing:
            self.process.wait()


_COMMAND = "from kronk_agent.confined import serve; serve({})"


def serve(descriptor: int) -> None:
    """Answer questions until nobody is there to ask. The child's main function."""
    import resource

    connection = Connection(descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # which ends the process
    service, arguments, memory_mib = json.loads(connection.recv_bytes())
    module, _, name = service.partition(":")
    try:
        answer: Answer = getattr(importlib.import_module(module), name)(*arguments)
        if memory_mib is not None:
            _limit_memory(memory_mib)
    except Exception as error:  # noqa: BLE001  # boundary: told to whoever asks
        reason = f"did not start: {error}"
        answer = _raiser(reason)
    with contextlib.suppress(EOFError, OSError):
        while True:
            seconds, question = json.loads(connection.recv_bytes())
            signal.setitimer(signal.ITIMER_PROF, seconds)
            reply = _reply(answer, question, memory_mib)
            signal.setitimer(signal.ITIMER_PROF, 0)
            connection.send_bytes(reply)


def _reply(answer: Answer, question: JsonValue, memory_mib: int | None) -> bytes:
    try:
        return json.dumps([None, answer(question)]).encode()
    except MemoryError:
        error = f"took more than {memory_mib} MiB of memory"
    except RecursionError:
        error = "called itself without end"
    except Exception as raised:  # noqa: BLE001  # boundary: told to whoever asks
        error = str(raised)
    return json.dumps([error, None]).encode()


def _raiser(reason: str) -> Answer:
    def answer(question: JsonValue) -> JsonValue:
        raise RuntimeError(reason)

    return answer


def _limit_memory(mib: int) -> None:
    import resource

    import psutil

    limit = psutil.Process().memory_info().vms + mib * _MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
