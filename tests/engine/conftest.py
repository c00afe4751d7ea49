from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from engine.tiny_gguf import TinyModels

from kronk_agent.engine.engine import Engine, EngineParams


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(starter_model: Path) -> AsyncIterator[Engine]:
    """One engine for a module's tests, which leave it idle."""
    async with await Engine.open(starter_model, EngineParams(context_length=2048)) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Models of other kinds than the starter model, with random weights."""
    return TinyModels(tmp_path_factory.mktemp("tiny"))
