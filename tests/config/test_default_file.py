"""configs/default.yaml says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kronk_agent.config.data_files import read_shipped
from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config, NamedAgentConfig, SamplingConfig
from kronk_agent.config.schema.mcp_server import McpServerConfig, OAuthConfig
from kronk_agent.config.schema.model import LocalModelConfig, RemoteModelConfig

# In the file these hold examples in comments and nothing else.
WITH_EXAMPLES = ("models", "agents", "mcp_servers")


def test_the_default_file_shows_every_key_with_its_default_and_no_other() -> None:
    in_file = YAML(typ="safe", pure=True).load(read_shipped("default.yaml"))
    in_code = Config().model_dump(mode="json")

    for key in WITH_EXAMPLES:
        assert in_file.pop(key) is None
        assert in_code.pop(key) == {}
    assert in_file == in_code
    assert _key_order(in_file) == _key_order(in_code)


def test_loading_the_default_file_gives_the_defaults(file: Path) -> None:
    file.write_text(read_shipped("default.yaml"), encoding="utf-8")

    assert load_config(file, environ={}) == Config()


def test_the_examples_in_comments_work_when_the_comment_sign_is_removed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    (file.parent / "odd.jinja").write_text("")
    before, key, servers = read_shipped("default.yaml").partition("\nmcp_servers:\n")
    head, models, rest = before.partition("\nmodels:\n")
    mine, engine, rest = rest.partition("\nengine:\n")
    mine = re.sub(r"(?m)^  # ( *[a-z_]+:(?: |$))", r"  \1", mine)
    rest, agents, others = rest.partition("\nagents:\n")
    named, tools, others = others.partition("\n# Tools that")
    named = re.sub(r"(?m)^  # ( *[a-z_]+:(?: |$))", r"  \1", named)
    before = head + models + mine + engine + rest + agents + named + tools + others
    servers = re.sub(r"(?m)^  # ( *[A-Za-z_]+:(?: |$))", r"  \1", servers)
    file.write_text(before + key + servers, encoding="utf-8")

    environ = {"TRACKER_TOKEN": "hunter2", "CALENDAR_SECRET": "h3", "BIG_API_KEY": "hunter3"}
    config = load_config(file, environ=environ)

    assert config == Config(
        models={
            "qwen": file.parent / "models/Qwen3-8B-Q4_K_M.gguf",
            "mended": LocalModelConfig(
                path=file.parent / "models/odd.gguf", template=file.parent / "odd.jinja"
            ),
            "embedder": LocalModelConfig(path=file.parent / "models/bge-m3.gguf"),
            "big": RemoteModelConfig(
                url="http://gpu.example:8000/v1", model="Qwen/Qwen3-32B", api_key="hunter3"
            ),
        },
        agents={
            "researcher": NamedAgentConfig(
                description="Looks things up and says where it found them.",
                instructions="You look things up before you answer, and cite what you found.",
                model="qwen",
                tools=("web_search", "web_fetch"),
                max_steps=20,
                sampling=SamplingConfig(temperature=0.2),
            )
        },
        mcp_servers={
            "time": McpServerConfig(
                command="uvx",
                args=("mcp-server-time",),
                env={"TZ": "Europe/Berlin"},
                env_file=file.parent / "somewhere/.env",
                inherit_env=("NODE_*", "SSL_CERT_FILE"),
                cwd=file.parent / "somewhere",
            ),
            "tracker": McpServerConfig(
                url="https://mcp.example.com/mcp", headers={"Authorization": "Bearer hunter2"}
            ),
            "calendar": McpServerConfig(
                url="https://calendar.example.com/sse",
                type="sse",
                oauth=OAuthConfig(
                    client_id="kronk", client_secret="h3", scopes=("read",), callback_port=8123
                ),
            ),
        },
    )


def test_every_key_of_a_server_is_in_the_examples() -> None:
    examples = read_shipped("default.yaml").partition("\nmcp_servers:\n")[2]

    shown = {match[1] for match in re.finditer(r"(?m)^  #   ([a-z_]+):", examples)}

    assert shown == set(McpServerConfig.model_fields)


def test_every_key_of_a_model_is_in_the_examples() -> None:
    models = read_shipped("default.yaml").partition("\nmodels:\n")[2].partition("\n\n")[0]

    shown = {match[1] for match in re.finditer(r"(?m)^  #   ([a-z_]+):", models)}

    assert shown == {*LocalModelConfig.model_fields, *RemoteModelConfig.model_fields}


def _key_order(mapping: dict[str, object]) -> list[object]:
    return [(key, list(v) if isinstance(v, dict) else None) for key, v in mapping.items()]
