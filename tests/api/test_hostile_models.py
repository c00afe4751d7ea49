"""Models that would take a server down, beside one that is well."""

from __future__ import annotations

from pathlib import Path

from api.support import running
from engine.tiny_gguf import TinyModels

from kronk_agent import Config
from kronk_agent.config.schema.engine import EngineConfig
from kronk_agent.config.schema.model import LocalModelConfig

ASKED = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


async def test_models_nobody_asked_for_cost_nothing_and_those_asked_for_only_themselves(
    tiny: TinyModels, tmp_path: Path
) -> None:
    for name, source in (("endless", ENDLESS), ("plain", PLAIN)):
        (tmp_path / f"{name}.jinja").write_text(source)
    damaged = bytearray(tiny.llama.read_bytes())
    at = damaged.index(b"llama.block_count") + len(b"llama.block_count") + 4
    damaged[at : at + 4] = bytes(4)
    (tmp_path / "damaged.gguf").write_bytes(damaged)
    config = Config(
        model="well",
        models={
            "well": LocalModelConfig(path=tiny.llama, template=tmp_path / "plain.jinja"),
            "endless": LocalModelConfig(path=tiny.llama, template=tmp_path / "endless.jinja"),
            "damaged": tmp_path / "damaged.gguf",
        },
        engine=EngineConfig(context_length=512, max_sequences=2, batch_size=64, cache_ram_mib=0),
        tools=(),
    )
    async with running(config=config) as server:
        listed = {one["id"]: one for one in (await server.http.get("/v1/models")).json()["data"]}
        endless = await server.post("/v1/chat/completions", model="endless", **ASKED)
        broken = await server.post("/v1/chat/completions", model="damaged", **ASKED)
        well = await server.post("/v1/chat/completions", model="well", **ASKED)
        health = await server.http.get("/health")

    assert "chat" in listed["endless"]["capabilities"]
    assert "problem" not in listed["endless"]
    assert "llama.block_count is 0" in listed["damaged"]["problem"]
    assert (endless.status_code, broken.status_code) == (503, 503)
    assert "took more than 5 s of processor time" in endless.json()["error"]["message"]
    assert "llama.block_count is 0" in broken.json()["error"]["message"]
    assert (well.status_code, health.status_code) == (200, 200)
