from __future__ import annotations

from collections.abc import Iterator

import pytest
from loopback_web import LoopbackWeb, loopback_web


@pytest.fixture
def web() -> Iterator[LoopbackWeb]:
    """A web on 127.0.0.1 that answers as the test tells it to."""
    with loopback_web() as served:
        yield served
