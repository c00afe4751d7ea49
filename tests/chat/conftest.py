from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from chat.scripted_upstream import ScriptedUpstream
from chat.support import Grammar
from loopback_web import LoopbackWeb

from kronk_agent.chat.dialects import TurnGrammar
from kronk_agent.engine.engine import Engine, EngineParams
from kronk_agent.engine.llama.model_file import ModelFile
from kronk_agent.engine.structured_output.constraint import ConstraintCompiler
from kronk_agent.engine.vocabulary import Vocabulary

_SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def model_file(starter_model: Path) -> Iterator[ModelFile]:
    file = ModelFile(starter_model)
    yield file
    file.close()


@pytest.fixture(scope="session")
def vocabulary(model_file: ModelFile) -> Vocabulary:
    return model_file.vocabulary


@pytest.fixture(scope="session")
def compile_grammar(model_file: ModelFile) -> Callable[[TurnGrammar], Grammar]:
    compiler = ConstraintCompiler(model_file.vocabulary, model_file.path)

    def compile(grammar: TurnGrammar) -> Grammar:
        compiled = compiler.compile(grammar.lark, grammar.parts, is_ours=grammar.is_ours)
        return Grammar(compiled, model_file.vocabulary)

    return compile


@pytest.fixture(scope="session")
def golden_data() -> Path:
    """Data of others, kept beside the project: chat templates and what comes of them."""
    if not _SHARED_DATA.is_dir():
        pytest.skip("the golden chat data is not beside the project")
    return _SHARED_DATA


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(starter_model: Path) -> AsyncIterator[Engine]:
    """One engine for a module's tests, which leave it idle."""
    # One thread: with more, a busy machine makes them wait for one another at every step.
    params = EngineParams(context_length=4096, threads=1)
    async with await Engine.open(starter_model, params) as opened:
        yield opened


@pytest.fixture
def scripted(web: LoopbackWeb) -> ScriptedUpstream:
    """A server elsewhere, as far as the code under test can tell."""
    return ScriptedUpstream(web)
