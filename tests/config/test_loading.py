"""Where values come from, what wins, and what becomes of paths and variables."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from kronk_agent.config.loading import config_path, load_config, read_config
from kronk_agent.config.schema.config import (
    Config,
    McpServerConfig,
    WebFetchConfig,
    WebSearchConfig,
)
from kronk_agent.config.schema.engine import EngineConfig, LoraConfig
from kronk_agent.errors import ConfigError


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a new user, and where they are: a project's folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path


# --- which file -----------------------------------------------------------------------------


def test_without_any_file_the_defaults_are_in_force(user_folder: Path) -> None:
    loaded = read_config(environ={})

    assert loaded.config == Config()
    assert loaded.path is None


def test_the_file_in_the_users_folder_is_found(user_folder: Path) -> None:
    file = config_path(environ={})
    file.parent.mkdir(parents=True)
    file.write_text("agent: {max_steps: 3}")

    loaded = read_config(environ={})

    assert loaded.config.agent.max_steps == 3
    assert loaded.path == file
    assert file.is_relative_to(user_folder)


def test_a_file_in_the_working_directory_is_not_read_unasked(user_folder: Path) -> None:
    for name in ("config.yaml", "kronk-agent.yaml", ".kronk-agent.yaml"):
        Path(name).write_text("mcp_servers: {evil: {command: evil}}")

    assert load_config(environ={}) == Config()


def test_a_variable_names_the_file_and_an_argument_wins(user_folder: Path) -> None:
    Path("a.yaml").write_text("model: a")
    (user_folder / "b.yaml").write_text("model: b")
    environ = {"KRONK_AGENT_CONFIG": "~/b.yaml"}

    assert load_config(environ=environ).model == "b"
    assert load_config(Path("a.yaml"), environ=environ).model == "a"


def test_an_empty_variable_names_no_file(user_folder: Path) -> None:
    assert load_config(environ={"KRONK_AGENT_CONFIG": ""}) == Config()


def test_the_process_environment_is_the_default(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONK_AGENT_AGENT__MAX_STEPS", "7")

    assert load_config().agent.max_steps == 7


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}", "null", "\ufeff"])
def test_an_empty_file_is_the_defaults(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")

    assert load_config(file, environ={}) == Config()


def test_a_byte_order_mark_is_no_part_of_the_file(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfmodel: x\r\n")

    assert load_config(file, environ={}).model == "x"


# --- which value ----------------------------------------------------------------------------


def test_flags_win_over_variables_over_the_file_over_defaults(file: Path) -> None:
    file.write_text("engine: {threads: 1, max_sequences: 1, queue_limit: 1}")
    environ = {"KRONK_AGENT_ENGINE__THREADS": "2", "KRONK_AGENT_ENGINE__QUEUE_LIMIT": "2"}

    config = load_config(file, environ=environ, overrides={"engine.threads": 3})

    assert config == Config(engine=EngineConfig(threads=3, max_sequences=1, queue_limit=2))


def test_flags_give_python_values(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("")
    monkeypatch.chdir(file.parent)
    overrides: dict[str, object] = {
        "model": Path("x.gguf"),
        "tools": ("web_fetch",),
        "mcp_servers": {"a": {"command": "b", "args": ["${NOT_EXPANDED}"]}},
        "agent.max_tokens": None,
        "agent.tool_choice": "5",
    }

    config = load_config(file, environ={}, overrides=overrides)

    assert config.model == str(file.parent / "x.gguf")
    assert config.tools == ("web_fetch",)
    assert config.mcp_servers["a"].args == ("${NOT_EXPANDED}",)
    assert config.agent.max_tokens is None
    assert config.agent.tool_choice == "5"


@pytest.mark.parametrize(
    ("value", "model"),
    [
        ("x", "x"),
        ("123", "123"),
        ("true", "true"),
        ("a: b", "a: b"),
        ("a #b", "a #b"),
        ("[", "["),
        ("'quoted'", "'quoted'"),
        ("${NOT_EXPANDED}", "${NOT_EXPANDED}"),
        ("null", None),
        ("", None),
    ],
)
def test_a_variable_for_a_text_is_taken_as_it_is(file: Path, value: str, model: str | None) -> None:
    file.write_text("model: y")

    assert load_config(file, environ={"KRONK_AGENT_MODEL": value}).model == model


def test_other_variables_are_read_as_yaml(file: Path) -> None:
    file.write_text("tools: [a]\nweb_search: {cache_seconds: 5}")
    environ = {
        "KRONK_AGENT_AGENT__PARALLEL_TOOL_CALLS": "false",
        "KRONK_AGENT_AGENT__MAX_TOKENS": "null",
        "KRONK_AGENT_SAMPLING__TEMPERATURE": "1e-1",
        "KRONK_AGENT_TOOLS": "[web_fetch, 5]",
        "KRONK_AGENT_WEB_SEARCH": "{region: de-de}",
        "KRONK_AGENT_WEB_SEARCH__TIMEOUT_SECONDS": "1",
    }

    config = load_config(file, environ=environ)

    assert config.agent.parallel_tool_calls is False
    assert config.agent.max_tokens is None
    assert config.sampling.temperature == 0.1
    assert config.tools == ("web_fetch", "5")
    assert config.web_search == WebSearchConfig(
        region="de-de", timeout_seconds=1.0, cache_seconds=5.0
    )


def test_a_variable_finds_a_server_whatever_the_case_and_hyphens(file: Path) -> None:
    file.write_text("mcp_servers: {my-Server: {command: x, env: {Key: old}}}")
    environ = {
        "KRONK_AGENT_MCP_SERVERS__MY_SERVER__TIMEOUT": "5",
        "KRONK_AGENT_MCP_SERVERS__MY_SERVER__ENV__Key": "1",
        "KRONK_AGENT_MCP_SERVERS__MY_SERVER__ENV__NEW_KEY": "2",
        "KRONK_AGENT_MCP_SERVERS__New__COMMAND": "y",
    }

    assert load_config(file, environ=environ).mcp_servers == {
        "my-Server": McpServerConfig(command="x", env={"Key": "1", "NEW_KEY": "2"}, timeout=5),
        "New": McpServerConfig(command="y"),
    }


def test_an_empty_section_is_the_defaults_of_that_section(file: Path) -> None:
    file.write_text("engine:\nmodels:\nmcp_servers:\n  a: {command: x, env: }\n")

    assert load_config(file, environ={}) == Config(
        mcp_servers={"a": McpServerConfig(command="x", env={})}
    )


def test_yaml_is_read_as_version_1_2(file: Path) -> None:
    file.write_text(
        "agent: {instructions: on, tool_choice: 12:30:45}\n"
        "engine: {threads: 0o17, max_sequences: 0x10, queue_limit: 012}\n"
        "sampling: {seed: +5, temperature: 1e0}\n"
        "web_fetch: {allow_private: [10.0.0.0/8, 'fd00::/8', 127.0.0.1]}\n"
        "mcp_servers: {a: &a {command: &c x, protocol: 2026-07-28}, b: *a}\n"
        "model: !!str 5\n"
    )

    config = load_config(file, environ={})

    assert (config.agent.instructions, config.agent.tool_choice) == ("on", "12:30:45")
    assert config.engine == EngineConfig(threads=15, max_sequences=16, queue_limit=12)
    assert (config.sampling.seed, config.sampling.temperature) == (5, 1.0)
    assert config.web_fetch.allow_private == (
        IPv4Network("10.0.0.0/8"),
        IPv6Network("fd00::/8"),
        IPv4Network("127.0.0.1/32"),
    )
    assert config.mcp_servers["b"] == McpServerConfig(command="x", protocol="2026-07-28")
    assert config.model == "5"


# --- variables in texts ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${A}", "a"),
        ("x${A}y${A}z", "xayaz"),
        ("${A:-d}", "a"),
        ("${EMPTY}", ""),
        ("${EMPTY:-d}", "d"),
        ("${UNSET:-d e:f}", "d e:f"),
        ("${UNSET:-}", ""),
        ("${NUMBER}", "5"),
        ("${YAML}", "[x, {y: z}] # no"),
        ("${NESTED}", "${A}"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A $ {A} {A} $(A)", "$A $ {A} {A} $(A)"),
    ],
)
def test_variables_are_put_into_texts(file: Path, written: str, value: str) -> None:
    file.write_text(
        f"agent: {{instructions: '{written}'}}\nmcp_servers:\n  a:\n    command: '{written}x'"
    )
    environ = {
        "A": "a",
        "EMPTY": "",
        "NUMBER": "5",
        "YAML": "[x, {y: z}] # no",
        "NESTED": "${A}",
    }

    config = load_config(file, environ=environ)

    assert config.agent.instructions == value
    assert config.mcp_servers["a"].command == f"{value}x"


def test_a_variable_may_hold_a_number_or_a_list_where_one_belongs(file: Path) -> None:
    file.write_text("engine: {threads: '${N}', context_length: '${UNSET:-4096}'}\ntools: '${LIST}'")

    config = load_config(file, environ={"N": "2", "LIST": "[web_fetch]"})

    assert config == Config(
        engine=EngineConfig(threads=2, context_length=4096), tools=("web_fetch",)
    )


def test_a_secret_of_digits_stays_text(file: Path) -> None:
    file.write_text("mcp_servers: {a: {url: http://x, headers: {Key: '${KEY}'}}}")

    config = load_config(file, environ={"KEY": "0123"})

    assert config.mcp_servers["a"].headers == {"Key": "0123"}


def test_secrets_do_not_show_in_the_repr_of_a_configuration(file: Path) -> None:
    file.write_text(
        "mcp_servers:\n"
        "  a: {url: http://x, headers: {K: hunter2}}\n"
        "  b: {command: x, env: {K: hunter2}}\n"
    )

    assert "hunter2" not in repr(read_config(file, environ={}))


# --- paths ----------------------------------------------------------------------------------


def test_paths_in_the_file_start_at_its_folder(user_folder: Path) -> None:
    folder = user_folder / "etc"
    folder.mkdir()
    (folder / "c.yaml").write_text(
        "model: models/x.gguf\n"
        "models: {a: a.gguf, b: ~/b.gguf, c: /c.gguf}\n"
        "tools: ['./my.py:f', '~/my.py:f', my.module:f, web_fetch]\n"
        "mcp_servers:\n"
        "  a: {command: ./server, cwd: work}\n"
        "  b: {command: ~/server, cwd: '${ROOT}/work'}\n"
        "  c: {command: npx, args: [./x, ~/x]}\n"
        "web_fetch: {cache_dir: pages}\n"
        "engine: {lora: [{path: a.gguf}, {path: ~/b.gguf, scale: 0.5}]}\n"
    )

    config = load_config(Path("../etc/c.yaml"), environ={"ROOT": "/srv"})

    folder = Path.cwd() / "../etc"
    home = user_folder
    assert config == Config(
        model=str(folder / "models/x.gguf"),
        models={"a": folder / "a.gguf", "b": home / "b.gguf", "c": Path("/c.gguf")},
        tools=(f"{folder / 'my.py'}:f", f"{home / 'my.py'}:f", "my.module:f", "web_fetch"),
        mcp_servers={
            "a": McpServerConfig(command=str(folder / "server"), cwd=folder / "work"),
            "b": McpServerConfig(command=str(home / "server"), cwd=Path("/srv/work")),
            "c": McpServerConfig(command="npx", args=("./x", "~/x")),
        },
        web_fetch=WebFetchConfig(cache_dir=folder / "pages"),
        engine=EngineConfig(
            lora=(
                LoraConfig(path=folder / "a.gguf"),
                LoraConfig(path=home / "b.gguf", scale=0.5),
            )
        ),
    )


def test_paths_in_variables_and_flags_start_at_the_working_directory(user_folder: Path) -> None:
    (user_folder / "c.yaml").write_text("model: x.gguf\nmodels: {a: a.gguf}\ntools: [./t.py:f]")
    file, here = user_folder / "c.yaml", Path.cwd()

    from_variable = load_config(file, environ={"KRONK_AGENT_MODEL": "./y.gguf"})
    from_flag = load_config(file, environ={}, overrides={"model": "z.gguf", "tools": ["t.py:f"]})

    assert from_variable == Config(
        model=str(here / "y.gguf"),
        models={"a": user_folder / "a.gguf"},
        tools=(f"{user_folder / 't.py'}:f",),
    )
    assert from_flag == Config(
        model=str(here / "z.gguf"),
        models={"a": user_folder / "a.gguf"},
        tools=(f"{here / 't.py'}:f",),
    )


@pytest.mark.parametrize("name", ["qwen", "a/b", "x.gguf"])
def test_a_name_from_models_is_no_path(file: Path, name: str) -> None:
    file.write_text(f"model: {name}\nmodels: {{{name}: /x/y.gguf}}")

    assert load_config(file, environ={}).model == name


def test_a_bare_word_is_left_for_whoever_looks_the_model_up(file: Path) -> None:
    file.write_text("model: qwen")

    assert load_config(file, environ={}).model == "qwen"


def test_a_home_that_does_not_exist_is_refused_for_the_file_too() -> None:
    with pytest.raises(ConfigError, match="no home directory for '~nobody-of-this-name/c'"):
        load_config(Path("~nobody-of-this-name/c"), environ={})
