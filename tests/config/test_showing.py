"""What `config show` prints: loadable again, and without secrets."""

from __future__ import annotations

from pathlib import Path

from kronk_agent.config.loading import load_config, read_config
from kronk_agent.config.schema.config import Config
from kronk_agent.config.yaml.dump import to_yaml


def test_what_is_shown_loads_to_the_same_configuration(file: Path) -> None:
    file.write_text(
        "model: '123'\n"
        "models: {a.b: x.gguf}\n"
        'agent: {instructions: "Two lines:\\n  {x} $${y} # z", max_tokens: null}\n'
        "tools: ['yes', './t.py:f', '${UNSET:-1.5}']\n"
        "web_fetch: {allow_private: [127.0.0.0/8]}\n"
        "mcp_servers: {a: {command: npx, args: ['--key', '${KEY}'], protocol: 2026-07-28}}\n"
        "sampling: {temperature: 0, seed: 4294967294}\n"
    )
    environ = {"KEY": "hunter2", "KRONK_AGENT_AGENT__TOOL_CHOICE": "${literally}"}
    loaded = read_config(file, environ=environ)

    file.write_text(to_yaml(loaded))

    assert load_config(file, environ={"KEY": "hunter2"}) == loaded.config


def test_the_defaults_can_be_shown(file: Path) -> None:
    file.write_text("")
    shown = to_yaml(read_config(file, environ={}))

    file.write_text(shown)

    assert load_config(file, environ={}) == Config()
    assert shown.startswith("model: null\nmodels: {}\nengine:\n  memory_mib: null\n")


def test_secrets_are_masked_and_variables_stand_as_written(file: Path) -> None:
    file.write_text(
        "models:\n"
        "  big: {url: http://x/v1, model: m, api_key: hunter0}\n"
        "mcp_servers:\n"
        "  a:\n"
        "    command: x\n"
        "    args: [--key, '${KEY}']\n"
        "    env: {PLAIN: hunter1, FROM: '${KEY}'}\n"
        "  b: {url: 'https://x/${KEY}', headers: {Authorization: 'Bearer ${KEY}'}}\n"
        "  c: {url: 'https://hunter4:hunter5@x/y?key=hunter6'}\n"
    )
    environ = {"KEY": "hunter2", "KRONK_AGENT_MCP_SERVERS__B__HEADERS__More": "hunter3"}

    shown = to_yaml(read_config(file, environ=environ))

    assert "hunter" not in shown
    assert shown.partition("mcp_servers:\n")[2] == (
        "  a:\n"
        "    command: x\n"
        "    args:\n"
        "    - --key\n"
        "    - ${KEY}\n"
        "    env:\n"
        "      PLAIN: '***'\n"
        "      FROM: '***'\n"
        "  b:\n"
        "    url: https://x/${KEY}\n"
        "    headers:\n"
        "      Authorization: '***'\n"
        "      More: '***'\n"
        "  c:\n"
        "    url: https://***@x/y?***\n"
    )


def test_the_keys_of_search_providers_are_masked_and_what_is_not_set_is_left_out(
    file: Path,
) -> None:
    file.write_text(
        "web_search:\n"
        "  providers:\n"
        "  - {type: brave, api_key: '${KEY}'}\n"
        "  - {type: searxng, base_url: 'http://localhost:8888'}\n"
        "  - {type: ddgs, backends: [mojeek]}\n"
        "  proxy: http://user:hunter2@proxy.example\n"
    )

    loaded = read_config(file, environ={"KEY": "hunter2"})
    shown = to_yaml(loaded)

    assert "hunter2" not in shown + repr(loaded.config)
    assert shown.partition("web_search:\n")[2].startswith(
        "  providers:\n"
        "  - type: brave\n"
        "    api_key: '***'\n"
        "  - type: searxng\n"
        "    base_url: http://localhost:8888\n"
        "  - type: ddgs\n"
        "    backends:\n"
        "    - mojeek\n"
        "  region: us-en\n"
    )
