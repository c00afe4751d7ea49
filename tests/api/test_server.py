"""The socket that is served on."""

from __future__ import annotations

import socket

import pytest

from kronk_agent.api.server import listen
from kronk_agent.errors import ConfigError


def test_small_answers_are_sent_at_once() -> None:
    """asyncio switches Nagle's algorithm off for sockets that are TCP by their own account."""
    with listen("127.0.0.1", 0) as listener:
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
        with accepted:
            assert (accepted.type, accepted.proto) == (socket.SOCK_STREAM, socket.IPPROTO_TCP)


def test_an_address_that_is_taken_is_refused_by_name() -> None:
    with listen("127.0.0.1", 0) as listener, pytest.raises(ConfigError) as refused:
        listen("127.0.0.1", listener.getsockname()[1])

    assert refused.value.key == "server.port"
