"""Several models by name: what they can do, and who is loaded when."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import anyio
import pytest
from engine.tiny_gguf import TinyModels
from limits import seconds

from kronk_agent import Config, Message, Runtime, SamplingParams
from kronk_agent.agent import Agent, AgentOptions
from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.config.schema.model import LocalModelConfig, RemoteModelConfig
from kronk_agent.errors import InvalidRequestError, ModelError, UnknownModelError
from kronk_agent.model import ChatRequest
from kronk_agent.runtime import ModelEntry
from kronk_agent.settings import ToolChoice
from kronk_agent.testing import ScriptedModel
from kronk_agent.tools import StaticToolset, tool

pytestmark = pytest.mark.usefixtures("own_folders")

SMALL = EngineConfig(context_length=512, max_sequences=2, batch_size=64, cache_ram_mib=0)
ROOM_FOR_ONE = SMALL.model_copy(update={"memory_mib": 6, "cache_ram_mib": 4})
"""Every model takes over 4 MiB, for that is what its cache may take."""
GREEDY = SamplingParams(temperature=0)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Models of other kinds than the starter model, with random weights."""
    return TinyModels(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def chatty(tiny: TinyModels, tmp_path: Path) -> LocalModelConfig:
    """A tiny model with a chat template; what it says is nonsense."""
    template = tmp_path / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    return LocalModelConfig(path=tiny.llama, template=template)


def config_of(**models: LocalModelConfig | RemoteModelConfig | Path) -> Config:
    return Config(models=models, model=next(iter(models)), engine=SMALL, tools=())


async def answer_of(runtime: Runtime, name: str | None = None) -> str:
    model = await runtime.chat_model(name)
    request = ChatRequest(messages=(Message.user("hi"),), sampling=GREEDY, max_tokens=3)
    async with aclosing(model.stream(request)) as deltas:
        return "".join([getattr(delta, "text", "") async for delta in deltas])


def loaded(runtime: Runtime) -> list[str]:
    return [model.name for model in runtime.models if model.is_loaded]


async def test_models_are_there_by_name_and_loaded_when_they_are_wanted(
    chatty: LocalModelConfig,
) -> None:
    scripted = ScriptedModel(["Hello."])
    config = config_of(one=chatty, two=chatty)

    async with Runtime.open(config, models={"script": scripted}) as runtime:
        assert runtime.models == (
            ModelEntry("one", "local", is_default=True, is_loaded=False),
            ModelEntry("script", "given", is_default=False, is_loaded=True),
            ModelEntry("two", "local", is_default=False, is_loaded=False),
        )
        first = await runtime.chat_model("two")
        assert first is await runtime.chat_model("two")
        assert first.info.id == "two"
        assert loaded(runtime) == ["script", "two"]
        assert await answer_of(runtime, "script") == "Hello."
        assert await answer_of(runtime) == await answer_of(runtime, "two")
        assert loaded(runtime) == ["one", "script", "two"]


async def test_a_name_that_there_is_not_is_refused_whatever_file_it_is(tiny: TinyModels) -> None:
    async with Runtime.open(config_of(one=tiny.llama)) as runtime:
        for name in ("ons", str(tiny.llama)):
            with pytest.raises(UnknownModelError, match=r"unknown model .*; available: 'one'"):
                await runtime.chat_model(name)
            with pytest.raises(UnknownModelError):
                await runtime.capabilities(name)


async def test_a_model_that_is_a_path_has_the_name_of_its_file(tiny: TinyModels) -> None:
    config = Config(model=str(tiny.llama), models={"other": tiny.llama}, engine=SMALL)

    async with Runtime.open(config) as runtime:
        assert [model.name for model in runtime.models] == ["llama", "other"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("llama", {"generate"}),
        ("llama_with_fim", {"generate", "fim"}),
        ("mamba", {"generate"}),
    ],
)
async def test_what_a_model_can_do_is_read_from_its_file(
    tiny: TinyModels, kind: str, expected: set[str]
) -> None:
    async with Runtime.open(config_of(one=getattr(tiny, kind))) as runtime:
        assert await runtime.capabilities("one") == expected
        assert loaded(runtime) == []


async def test_templates_pooling_and_servers_tell_what_a_model_can_do(
    tiny: TinyModels, chatty: LocalModelConfig
) -> None:
    config = config_of(
        chatty=chatty,
        embedder=tiny.bert("mean"),
        ranker=tiny.bert("rank"),
        pooled=LocalModelConfig(path=tiny.llama, pooling="mean"),
        far=RemoteModelConfig(url="http://127.0.0.1:1/v1", model="x"),
    )

    async with Runtime.open(config) as runtime:
        can = {model.name: await runtime.capabilities(model.name) for model in runtime.models}

    assert can == {
        "chatty": {"generate", "chat", "tools"},
        "embedder": {"embed"},
        "ranker": {"rerank"},
        "pooled": {"generate", "embed"},
        "far": {"chat", "tools"},
    }


async def test_a_description_is_read_again_when_the_file_has_changed(
    tiny: TinyModels, tmp_path: Path
) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(tiny.llama.read_bytes())

    async with Runtime.open(config_of(x=file)) as runtime:
        assert await runtime.capabilities() == {"generate"}
        file.write_bytes(tiny.bert("mean").read_bytes())
        assert await runtime.capabilities() == {"embed"}
        file.unlink()
        with pytest.raises(ModelError, match=r"x\.gguf"):
            await runtime.capabilities()


async def test_what_a_model_cannot_do_is_refused_before_it_is_loaded(tiny: TinyModels) -> None:
    config = config_of(
        plain=tiny.llama,
        embedder=tiny.bert("mean"),
        far=RemoteModelConfig(url="http://127.0.0.1:1/v1", model="x"),
    )

    async with Runtime.open(config) as runtime:
        with pytest.raises(ModelError, match="no chat template"):
            await runtime.chat_model("plain")
        with pytest.raises(
            InvalidRequestError, match="'embedder' cannot generate text; its capabilities: em"
        ):
            async with runtime.engine("embedder"):
                pass
        with pytest.raises(
            InvalidRequestError, match="'plain' supports neither embedding nor reranking"
        ):
            async with runtime.embedder("plain"):
                pass
        for use in (runtime.engine("far"), runtime.embedder("far")):
            with pytest.raises(InvalidRequestError, match="'far' is not a local file") as caught:
                async with use:
                    pass
            assert caught.value.param == "model"


async def test_engines_and_embedders_are_loaded_for_a_block(tiny: TinyModels) -> None:
    config = config_of(plain=tiny.llama, embedder=tiny.bert("mean"), ranker=tiny.bert("rank"))

    async with Runtime.open(config) as runtime:
        async with runtime.engine() as engine, runtime.embedder("embedder") as embedder:
            assert engine.detokenize(engine.tokenize("hello")) == "hello"
            assert (await embedder.embed(["a", "b"])).vectors.shape[0] == 2
        async with runtime.embedder("ranker") as ranker:
            assert len((await ranker.rerank("a", ["b", "c"])).scores) == 2
        async with runtime.engine() as again:
            assert again is engine


async def test_the_context_length_of_a_model_goes_before_that_of_all(tiny: TinyModels) -> None:
    config = config_of(own=LocalModelConfig(path=tiny.llama, context_length=1024), plain=tiny.llama)

    async with (
        Runtime.open(config) as runtime,
        runtime.engine("own") as own,
        runtime.engine("plain") as plain,
    ):
        assert (own.context_length, plain.context_length) == (1024, 512)


async def test_a_model_makes_room_for_another_and_is_loaded_again(
    chatty: LocalModelConfig,
) -> None:
    config = config_of(one=chatty, two=chatty).model_copy(update={"engine": ROOM_FOR_ONE})

    async with Runtime.open(config) as runtime:
        first = await answer_of(runtime, "one")
        assert loaded(runtime) == ["one"]
        assert await answer_of(runtime, "two") == first
        assert loaded(runtime) == ["two"]
        model = await runtime.chat_model("one")
        assert loaded(runtime) == ["two"]
        assert model.count_tokens("hello there") == (await runtime.chat_model("two")).count_tokens(
            "hello there"
        )
        assert await answer_of(runtime, "one") == first
        assert loaded(runtime) == ["one"]


async def test_a_tool_may_use_another_model_where_there_is_room_for_one(
    chatty: LocalModelConfig,
) -> None:
    config = config_of(one=chatty, two=chatty).model_copy(update={"engine": ROOM_FOR_ONE})

    async with Runtime.open(config) as runtime:

        @tool
        async def ask() -> str:
            """Ask the other."""
            return await answer_of(runtime, "two")

        agent = Agent(
            await runtime.chat_model("one"),
            [StaticToolset("x", (ask,))],
            AgentOptions(max_steps=2, max_tokens=64, parallel_tool_calls=False, sampling=GREEDY),
        )
        with anyio.fail_after(seconds(30)):
            answer = await agent.answer([Message.user("go")], tool_choice=ToolChoice("required"))

    asked = [message for message in answer.messages if message.role == "tool"]
    assert (len(asked), answer.steps) == (1, 2)
    assert "failed" not in asked[0].text


async def test_a_model_that_does_not_fit_at_all_is_refused_with_the_remedy(
    tiny: TinyModels,
) -> None:
    engine = EngineConfig(memory_mib=1, max_sequences=2)
    config = config_of(one=tiny.llama).model_copy(update={"engine": engine})

    async with Runtime.open(config) as runtime:
        with pytest.raises(ModelError, match=r"engine\.memory_mib is 1: raise it"):
            async with runtime.engine():
                pass
