"""Every mistake that can be made in the file, a variable or a flag, and what a person is told."""

# ruff: noqa: E501  # the table has one case a line

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from ruamel.yaml import YAML

from kronk_agent.config.loading import load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.errors import ConfigError

TOP_KEYS = (
    "model, models, engine, sampling, agent, agents, tools, policy, web_search, web_fetch, "
    "sessions, server, serve_mcp, mcp_servers"
)


def told(file: Path, **options: dict[str, str] | dict[str, object]) -> str:
    """What loading the file says, with a short name for the file."""
    environ = options.pop("environ", {})
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ=environ, **options)  # type: ignore[arg-type]
    return str(caught.value).replace(str(file), "config.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # --- unknown keys
        ("contxt_length: 1", "1: contxt_length: unknown key 'contxt_length': did you mean 'engine.context_length'?"),
        ("engine:\n  contxt_length: 1", "2: engine.contxt_length: unknown key 'contxt_length': did you mean 'context_length'?"),
        ("max_steps: 1", "1: max_steps: unknown key 'max_steps': did you mean 'agent.max_steps'?"),
        ("agent:\n  model: x", "2: agent.model: unknown key 'model': it belongs to the top level, not under agent"),
        ("agent:\n  sampling: {temperature: 0}", "2: agent.sampling: unknown key 'sampling': it belongs to the top level, not under agent"),
        ("timeout_seconds: 1", "1: timeout_seconds: unknown key 'timeout_seconds': did you mean 'web_search.timeout_seconds' or 'web_fetch.timeout_seconds'?"),
        ("mcpserver: {}", "1: mcpserver: unknown key 'mcpserver': did you mean 'mcp_servers'?"),
        ("xyz: 1", f"1: xyz: unknown key 'xyz': known keys: {TOP_KEYS}"),
        ("web_fetch: {xyz: 1}", "1: web_fetch.xyz: unknown key 'xyz': known keys: timeout_seconds, max_bytes, url_policy, robots, requests_per_host, delay_seconds, cache_seconds, cache_bytes, cache_dir, allow_private, allow_ports, proxy"),
        ("mcp_servers:\n  time:\n    commnd: x\n    command: x", "3: mcp_servers.time.commnd: unknown key 'commnd': did you mean 'command'?"),
        ("<<: {model: x}", f"1: \"<<\": unknown key '<<': known keys: {TOP_KEYS}"),
        # --- wrong types
        ("agent: {max_steps: ten}", "1: agent.max_steps: must be a whole number, not 'ten'"),
        ("agent: {max_steps: '10'}", "1: agent.max_steps: must be a whole number, not '10'"),
        ("agent: {max_steps: 1.5}", "1: agent.max_steps: must be a whole number, not 1.5"),
        ("agent: {max_steps: true}", "1: agent.max_steps: must be a whole number, not true"),
        ("agent:\n  max_steps:", "2: agent.max_steps: must be a whole number, not null"),
        ("agent: {max_steps: [1]}", "1: agent.max_steps: must be a whole number, not a list"),
        ("agent: {max_steps: {a: 1}}", "1: agent.max_steps: must be a whole number, not a mapping"),
        ("agent: {max_steps: " + "x" * 61 + "}", "1: agent.max_steps: must be a whole number, not '" + "x" * 60 + "'…"),
        ("sampling: {temperature: hot}", "1: sampling.temperature: must be a number, not 'hot'"),
        ("agent: {tool_timeout_seconds: .inf}", "1: agent.tool_timeout_seconds: must be a number, not Infinity"),
        ("agent: {parallel_tool_calls: no}", "1: agent.parallel_tool_calls: must be true or false, not 'no'"),
        ("model: 5", "1: model: must be text: put it in quotes"),
        ("model: true", "1: model: must be text: put it in quotes"),
        ("model: [a]", "1: model: must be text, not a list"),
        ("models: {a: 1.5}", "1: models.a: must be text: put it in quotes"),
        ("models: {a.b: null}", '1: models."a.b": must be text, not null'),
        ("models: a.gguf", "1: models: must be a mapping, with 'key: value' lines, not 'a.gguf'"),
        ("engine: [1]", "1: engine: must be a mapping, with 'key: value' lines, not a list"),
        ("tools: web_fetch", "1: tools: must be a list, such as [a, b], not 'web_fetch'"),
        ("tools:", "1: tools: must be a list, such as [a, b], not null"),
        ("tools:\n  - web_fetch\n  - 5", "3: tools[1]: must be text: put it in quotes"),
        # --- out of range
        ("agent: {max_steps: 0}", "1: agent.max_steps: must be at least 1, not 0"),
        ("engine: {max_sequences: 257}", "1: engine.max_sequences: must be at most 256, not 257"),
        ("engine: {batch_size: 99999999999}", "1: engine.batch_size: must be at most 2147483647, not 99999999999"),
        ("sampling: {top_p: 1.5}", "1: sampling.top_p: must be at most 1, not 1.5"),
        ("sampling: {repeat_penalty: 0}", "1: sampling.repeat_penalty: must be at least 0.001, not 0"),
        ("sampling: {temperature: .nan}", "1: sampling.temperature: must be a number, not NaN"),
        ("agent: {tool_timeout_seconds: 0}", "1: agent.tool_timeout_seconds: must be more than 0, not 0"),
        ("web_fetch: {allow_private: [10.0.0.1/8]}", "1: web_fetch.allow_private[0]: must be an address, or a network such as 127.0.0.0/8 (not 127.0.0.1/8), not '10.0.0.1/8'"),
        ("web_fetch: {allow_private: [10]}", "1: web_fetch.allow_private[0]: must be text such as 127.0.0.0/8, not 10"),
        ("models: {a: ~nobody-of-this-name/x}", "1: models.a: no home directory for '~nobody-of-this-name/x'"),
        # --- models with keys
        ("models: {odd: {template: x.jinja}}", "1: models.odd: path is missing"),
        ("models:\n  odd:\n    path: x.gguf\n    templat: x.jinja", "4: models.odd.templat: unknown key 'templat': did you mean 'template'?"),
        ("models:\n  odd:\n    path: x.gguf\n    template: /nowhere/x.jinja", "4: models.odd.template: file not found: /nowhere/x.jinja"),
        ("models: {odd: {path: x.gguf, template: 5}}", "1: models.odd.template: must be text: put it in quotes"),
        ("models: {odd: {path: x.gguf, url: http://x/v1, model: m}}", "1: models.odd.path: 'path' cannot be combined with the other keys here"),
        ("models:\n  big:\n    url: http://x/v1", "2: models.big: model is missing"),
        ("models:\n  big: {url: http://x/v1, model: m, api_ky: s}", "2: models.big.api_ky: unknown key 'api_ky': did you mean 'api_key'?"),
        ("models: {big: {url: x/v1, model: m}}", "1: models.big.url: must start with http:// or https://, not 'x/v1'"),
        ("models: {big: {url: 'http://', model: m}}", "1: models.big.url: must be a URL such as http://localhost:8000/v1, not 'http://'"),
        ("models: {big: {url: 'http://u:p@x/v1', model: m}}", "1: models.big.url: must not contain user, password, ? or #: put the key into api_key"),
        ("models: {big: {url: http://x/v1, model: m, type: ollama}}", "1: models.big.type: must be 'compatible', 'openai', 'vllm', 'sglang' or 'llama-server', not 'ollama'"),
        ("models: {big: {url: http://x/v1, model: m, api_key: ''}}", "1: models.big.api_key: must not be empty"),
        ("models: {big: [a]}", "1: models.big: must be text, not a list"),
        # --- web tools
        ("web_search: {providers: []}", "1: web_search.providers: must not be empty"),
        ("web_search: {providers: ddgs}", "1: web_search.providers: must be a list, such as [a, b], not 'ddgs'"),
        ("web_search:\n  providers: [ddgs]", "2: web_search.providers[0]: must be a mapping, with 'key: value' lines, not 'ddgs'"),
        ("web_search:\n  providers: [{type: bing}]", "2: web_search.providers[0].type: must be 'ddgs', 'searxng', 'brave', 'tavily', 'exa', 'serper' or 'static', not 'bing'"),
        ("web_search:\n  providers:\n  - type: brave", "3: web_search.providers[0]: brave requires api_key"),
        ("web_search:\n  providers:\n  - type: searxng", "3: web_search.providers[0]: searxng requires base_url"),
        ("web_search:\n  providers:\n  - type: static", "3: web_search.providers[0]: static requires results"),
        ("web_search:\n  providers:\n  - type: ddgs\n    api_key: x\n    base_url: http://x", "3: web_search.providers[0]: api_key, base_url: not supported by ddgs"),
        ("web_search:\n  providers:\n  - {type: exa, api_key: x, apikey: y}", "3: web_search.providers[0].apikey: unknown key 'apikey': did you mean 'api_key'?"),
        ("web_search: {region: german}", "1: web_search.region: must be a country and a language, such as us-en or de-de, not 'german'"),
        ("web_fetch: {url_policy: all}", "1: web_fetch.url_policy: must be 'prior_context' or 'any', not 'all'"),
        ("web_fetch: {allow_ports: [0]}", "1: web_fetch.allow_ports[0]: must be at least 1, not 0"),
        ("web_fetch: {cache_dir: ~nobody-of-this-name/x}", "1: web_fetch.cache_dir: no home directory for '~nobody-of-this-name/x'"),
        # --- MCP servers
        ("mcp_servers:\n  time:", "2: mcp_servers.time: needs either command (a program to start) or url"),
        ("mcp_servers:\n  time: {command: x, url: http://x}", "2: mcp_servers.time: needs either command (a program to start) or url"),
        ("mcp_servers:\n  time: {url: http://x, env: {A: b}, args: [c]}", "2: mcp_servers.time: args, env: supported only with command, not with url"),
        ("mcp_servers:\n  time: {command: x, headers: {A: b}}", "2: mcp_servers.time: headers: supported only with url, not with command"),
        ("mcp_servers:\n  time: {command: ''}", "2: mcp_servers.time.command: must not be empty"),
        ("mcp_servers:\n  time: {url: 'ftp://x'}", "2: mcp_servers.time.url: must start with http:// or https://, not 'ftp://x'"),
        ("mcp_servers:\n  my time: {command: x}", "2: mcp_servers.\"my time\": a server's name is 1-32 of A-Z a-z 0-9 _ -, starting with a letter or digit"),
        ("mcp_servers:\n  time: {command: x, protocol: sse}", "2: mcp_servers.time.protocol: must be 'auto', 'legacy' or '2026-07-28', not 'sse'"),
        # --- what YAML allows and we do not
        ("model: a\nmodels: {}\nmodel: b", "3: model: given twice; the first is on line 1"),
        ("agent:\n  max_steps: 1\n  max_steps: x", "3: agent.max_steps: given twice; the first is on line 2"),
        ("? [a, b]\n: c", "1: a key must be a name"),
        ("model: !!python/object:os.system x", "1: model: the tag !!python/object:os.system is not supported"),
        ("model: !secret x", "1: model: the tag !secret is not supported"),
        ("tools: !!set {a, b}", "1: tools: the tag !!set is not supported"),
        ("agent: {max_steps: !!int ten}", "1: agent.max_steps: cannot be read as !!int"),
        ("model: !!null x", "1: model: cannot be read as !!null"),
        ("tools: [!!bool maybe]", "1: tools[0]: cannot be read as !!bool"),
        ("- model", "1: the file must be a mapping, with lines such as 'model: PATH'"),
        ("# about\nmodel", "2: the file must be a mapping, with lines such as 'model: PATH'"),
        # --- what is not YAML
        ("model: a: b", "1: not valid YAML: mapping values are not allowed here: quote a text that contains ': '"),
        ("agent:\n\tmax_steps: 1", "2: not valid YAML: a tab cannot indent: use spaces"),
        ("tools: [a\nmodel: b", "2: not valid YAML: expected ',' or ']', but got ':' while parsing a flow sequence that began on line 1"),
        ("model: 'a\nmodels:\n", "3: not valid YAML: found unexpected end of stream while scanning a quoted scalar that began on line 1"),
        ("tools: [a, ${VAR}]", "1: not valid YAML: expected ',' or ']', but got '{': quote a text with ${VAR} inside [ ] and { }"),
        ("model: 'it's'", "1: not valid YAML: expected <block end>, but found '<scalar>'"),
        ("model: @x", "1: not valid YAML: found character '@' that cannot start any token"),
        ("model: *x", "1: not valid YAML: found undefined alias 'x'"),
        ("{}\n---\n{}", "2: not valid YAML: expected a single document in the stream, but found another document"),
        ("models: {}\nmodel: \x07", "2: not valid YAML: the character '\\x07' is not allowed"),
        # --- variables
        ("models: {}\nmodel: ${NOT_SET}/x.gguf", "2: model: the environment variable NOT_SET is not set: set it, or write ${NOT_SET:-default}"),
        ("agent: {max_steps: '${NOT_SET}'}", "1: agent.max_steps: the environment variable NOT_SET is not set: set it, or write ${NOT_SET:-default}"),
        ("model: ${env:HOME}", "1: model: '${' must begin a variable such as ${VAR} or ${VAR:-default}: write '$${' for the characters themselves"),
        ("model: ${A:-${B:-x}}", "1: model: '${' must begin a variable such as ${VAR} or ${VAR:-default}: write '$${' for the characters themselves"),
        ('model: "\\ud800"', "1: model: must be valid UTF-8 text"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_told_with_its_line_and_key(
    file: Path, text: str, message: str
) -> None:
    file.write_text(text)

    assert told(file) == f"config.yaml:{message}"


@pytest.mark.parametrize(
    "text",
    ["model: &a [*a, *a]", "model: " + "[" * 21 + "]" * 21, "model: " + "[" * 5000],
    ids=["cycle", "nesting", "deep nesting"],
)
def test_yaml_that_never_ends_is_refused(file: Path, text: str) -> None:
    file.write_text(text)

    assert told(file) == "config.yaml: not valid YAML: nested too deeply"


def test_a_file_in_another_encoding_is_refused_with_the_line(file: Path) -> None:
    file.write_bytes(b"model: x\n# caf\xe9\n")

    assert told(file) == "config.yaml:2: not UTF-8 text: save it as UTF-8"


def test_a_file_that_is_not_there_is_told_with_the_remedy(file: Path) -> None:
    assert told(file) == "config.yaml: file not found: `kronk-agent config init` creates one"


def test_a_file_that_a_variable_names_must_be_there_too(file: Path) -> None:
    with pytest.raises(ConfigError, match="file not found"):
        load_config(environ={"KRONK_AGENT_CONFIG": str(file)})


def test_a_folder_is_refused(file: Path) -> None:
    file.mkdir()

    assert told(file) == "config.yaml: is a directory, not a file"


def test_a_path_below_a_file_is_refused(file: Path) -> None:
    file.write_text("")

    assert told(file / "x") == "config.yaml: cannot be read: Not a directory"


def test_all_mistakes_are_told_by_line_then_variables_then_flags(file: Path) -> None:
    file.write_text("modl: x\nagent:\n  max_steps: 0\n  max_steps: 2\nmodel: ${NOT_SET}\n")
    environ = {"KRONK_AGENT_ENGINE__THREADS": "none"}
    flags: dict[str, object] = {"agent.max_tokens": 0}

    assert told(file, environ=environ, overrides=flags).splitlines() == [
        "config.yaml:1: modl: unknown key 'modl': did you mean 'model'?",
        "config.yaml:3: agent.max_steps: must be at least 1, not 0",
        "config.yaml:4: agent.max_steps: given twice; the first is on line 3",
        "config.yaml:5: model: the environment variable NOT_SET is not set: "
        "set it, or write ${NOT_SET:-default}",
        "KRONK_AGENT_ENGINE__THREADS: engine.threads: must be a whole number",
        "--max-tokens: agent.max_tokens: must be at least 1, not 0",
    ]


def test_an_error_carries_where_the_mistake_is_for_programs(file: Path) -> None:
    file.write_text("model: x\nengine:\n  threads: 0\ntools: x\n")

    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={})

    first = caught.value
    assert (first.path, first.line, first.key) == (file, 3, "engine.threads")
    assert [other.key for other in first.others] == ["tools"]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("KRONK_AGENT_ENGINE__CONTEXT_LENGTH", "5", "engine.context_length: must be at least 256"),
        ("KRONK_AGENT_ENGINE__CONTEXT_LENGTH", "", None),
        ("KRONK_AGENT_ENGINE", "5", "engine: must be a mapping, with 'key: value' lines"),
        ("KRONK_AGENT_MODEL__X", "5", "model: must be text, not a mapping"),
        ("KRONK_AGENT_TOOLS", "web_fetch", "tools: must be a list, such as [a, b]"),
        ("KRONK_AGENT_TOOLS", "[a, [b]]", "tools[1]: must be text"),
        ("KRONK_AGENT_MODL", "x", "modl: unknown key 'modl': did you mean 'model'?"),
        ("KRONK_AGENT_MODEL", "\udc80", "model: must be valid UTF-8 text"),
        ("KRONK_AGENT_AGENT__MAX_STEPS", "[", "agent.max_steps: must be a whole number"),
        ("KRONK_AGENT_AGENT__MAX_STEPS", "*x", "agent.max_steps: must be a whole number"),
        ("KRONK_AGENT_AGENT__MAX_STEPS", "!x 5", "agent.max_steps: must be a whole number"),
    ],
)
def test_a_mistake_in_a_variable_names_the_variable(
    file: Path, variable: str, value: str, message: str | None
) -> None:
    file.write_text("")
    if message is None:
        load_config(file, environ={variable: value})
    else:
        assert told(file, environ={variable: value}) == f"{variable}: {message}"


@pytest.mark.parametrize(
    "text",
    [
        "mcp_servers: {a: {url: '${SECRET}'}}",
        "mcp_servers: {a: {url: http://x, headers: {A: [hunter2]}}}",
        "mcp_servers: {a: {url: http://x, headers: hunter2}}",
        "mcp_servers: {a: {command: x, env: {A: {hunter2: 1}}}}",
        "mcp_servers: {a: {command: x, env: hunter2}}",
        "mcp_servers: {a: {command: x, env: '${SECRET}'}}",
        "mcp_servers: {a: {command: x, args: '${SECRET}'}}",
        "mcp_servers: {a: {command: x, timeout: '${SECRET}'}}",
        "mcp_servers: {a: {command: x, protocol: '${SECRET}'}}",
        "mcp_servers: {a: {command: x, disabled: '${SECRET:-x}'}}",
        "web_fetch: {allow_private: ['${SECRET}']}",
        "web_fetch: {proxy: hunter2}",
        "web_search: {providers: [{type: ddgs, api_key: hunter2}]}",
        "web_search: {providers: [{type: brave, api_key: [hunter2]}]}",
        "agent: {max_steps: '${NESTED}'}",
        "tools: '${NESTED}'",
        "engine: ${SECRET}",
        "engine: ${MAPPING}",
        "mcp_servers: {a: '${MAPPING}'}",
    ],
)
def test_a_secret_is_never_repeated(file: Path, text: str) -> None:
    file.write_text(text)
    environ = {"SECRET": "hunter2", "NESTED": "[hunter2, [hunter2, -1]]", "MAPPING": "{hunter2: 1}"}

    with pytest.raises(ConfigError) as caught:
        load_config(file, environ=environ)

    assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def _paths(section: type[BaseModel], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = []
    for name, field in section.model_fields.items():
        paths.append((*above, name))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            paths += _paths(field.annotation, (*above, name))
    return paths


_SERVER_KEYS = ("command", "args", "env", "cwd", "url", "headers", "protocol", "timeout")
_KEYS = st.sampled_from(
    _paths(Config) + [("mcp_servers", "a", key) for key in _SERVER_KEYS]
) | st.tuples(st.text())
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=_KEYS, value=_VALUES)
def test_any_value_anywhere_is_taken_or_refused_in_our_own_words(
    file: Path, path: tuple[str, ...], value: object
) -> None:
    for key in reversed(path):
        value = {key: value}
    with file.open("w", encoding="utf-8", errors="replace") as out:
        YAML(typ="safe", pure=True).dump(value, out)

    try:
        load_config(file, environ={})
    except ConfigError as error:
        for line in str(error).splitlines():
            assert line.startswith(f"{file}:")
            assert "Input should" not in line
