from __future__ import annotations

import pytest
from engine.tiny_gguf import TinyModels

from kronk_agent import Config
from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.config.schema.model import LocalModelConfig

SMALL = EngineConfig(context_length=512, max_sequences=4, batch_size=64, cache_ram_mib=0)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModels:
    """Models of many kinds, with random weights."""
    return TinyModels(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def models(tiny: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A configuration with a model of each kind: chatty, fim, bert and ranker."""
    template = tmp_path_factory.mktemp("templates") / "chat.jinja"
    template.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    return Config(
        model="chatty",
        models={
            "chatty": LocalModelConfig(path=tiny.llama, template=template),
            "fim": tiny.llama_with_fim,
            "bert": tiny.bert("mean"),
            "ranker": tiny.bert("rank"),
        },
        engine=SMALL,
        tools=(),
    )
