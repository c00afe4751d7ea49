"""Runs work in a child process that is killed if it uses too much time or memory.

For processing untrusted input with code that has no limits of its own: native libraries, templates.
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
_STARTUP_SECONDS = 60.0
"""Wall-clock time for a process to start on a busy machine."""
_ENVIRONMENT = (
    *("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR", "TZ"),
    "XDG_CACHE_HOME",
)
"""Variables that the child gets; all others, including secrets, are withheld."""

Answer: TypeAlias = Callable[[JsonValue], JsonValue]


class ConfinedError(Exception):
    """The work was stopped or failed; the text continues a sentence that starts with "it"."""

    def __init__(self, reason: str, *, is_crash: bool = False) -> None:
        self.is_crash = is_crash
        """True if the code itself ended the process, which would happen again."""
        super().__init__(reason)


class Confined:
    """A child process that answers questions one at a time. Thread-safe.

    It starts with the first question, and cannot be used after a ``ConfinedError``.

    Args:
        service: ``package.module:function``. The child calls it once with ``arguments``, and calls
            the returned function with each question. Questions and answers are JSON.
        arguments: arguments of the service.
        memory_mib: memory that answers may use beyond that of the service itself; None for no
            limit.
    """

    def __init__(self, service: str, *arguments: JsonValue, memory_mib: int | None = None) -> None:
        self._opening: JsonValue = [service, list(arguments), memory_mib]
        self._memory_mib = memory_mib
        self._asking = threading.Lock()
        self._starting = threading.Lock()
        self._child: _Child | None = None
        self._is_closed = False

    def start(self) -> None:
        """Start the child without waiting for it.

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
        """Return the child's answer.

        Args:
            question: the argument for the service.
            seconds: limit of processor time; unlike wall-clock time it does not depend on the load.

        Raises:
            ConfinedError: the work used too much time or memory, crashed, raised, or was closed.
        """
        with self._asking:
            self.start()
            assert self._child is not None
            try:
                self._child.send([seconds, question])
                has_reply = self._child.connection.poll(_STARTUP_SECONDS + 10 * seconds)
                reply = self._child.receive() if has_reply else None
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
        """Kill the child in any state. Can be called repeatedly."""
        with self._starting:
            self._is_closed = True
        if self._child is not None:
            self._child.kill()

    def _ended(self, seconds: float) -> ConfinedError:
        """Return the error for a child that ended without an answer."""
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
    """The child process and the connection to it."""

    def __init__(self) -> None:
        self.connection, child_end = Pipe()
        with child_end:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND.format(child_end.fileno())],
                pass_fds=[child_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # must not receive Ctrl-C
                env={
                    **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    "GGML_NO_BACKTRACE": "1",
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        self._killing = threading.Lock()

    def send(self, value: JsonValue) -> None:
        """Send a message; a dead child is detected when receiving."""
        with contextlib.suppress(OSError):  # detected when receiving
            self.connection.send_bytes(json.dumps(value).encode())

    def receive(self) -> object:
        """Receive a message."""
        return json.loads(self.connection.recv_bytes())

    def kill(self) -> None:
        """Kill the process and wait for its end. Can be called repeatedly, from any thread."""
        self.process.kill()
        with self._killing:
            self.process.wait()


_COMMAND = "from kronk_agent.confined import serve; serve({})"


def serve(descriptor: int) -> None:
    """Answer questions until the connection is closed. The child's main function."""
    import resource

    connection = Connection(descriptor)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # the default action ends the process
    service, arguments, memory_mib = json.loads(connection.recv_bytes())
    module, _, name = service.partition(":")
    try:
        answer: Answer = getattr(importlib.import_module(module), name)(*arguments)
        if memory_mib is not None:
            _limit_memory(memory_mib)
    except Exception as error:  # noqa: BLE001  # boundary: reported to the caller
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
        error = "exceeded the recursion limit"
    except Exception as raised:  # noqa: BLE001  # boundary: reported to the caller
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
