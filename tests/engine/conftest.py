from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from kronk_agent.engine.engine import Engine, EngineParams


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(starter_model: Path) -> AsyncIterator[Engine]:
    """One engine for a module's tests, which leave it idle."""
    async with await Engine.open(starter_model, EngineParams(context_length=2048)) as opened:
        yield opened
