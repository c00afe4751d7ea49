"""`kronk-agent config`, run as the command group it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from kronk_agent.cli.commands.config import config
from kronk_agent.cli.options import GlobalOptions
from kronk_agent.config.data_files import read_shipped
from kronk_agent.config.loading import config_path, load_config
from kronk_agent.config.schema.config import Config
from kronk_agent.errors import ConfigError


@pytest.fixture(autouse=True)
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a new user's file would be."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.delenv("KRONK_AGENT_CONFIG", raising=False)
    return config_path()


def run(*arguments: str | Path, file: Path | None = None) -> Result:
    """Run `kronk-agent [--config FILE] config ARGUMENTS`; an error is raised, not printed."""
    return CliRunner().invoke(
        config,
        [str(argument) for argument in arguments],
        obj=GlobalOptions(config=file, debug=False),
        catch_exceptions=False,
    )


def outcome(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


def test_init_writes_the_annotated_defaults_where_they_are_looked_for(user_file: Path) -> None:
    assert outcome(run("init")) == (0, "", f"wrote {user_file}\n")

    assert user_file.read_text(encoding="utf-8") == read_shipped("default.yaml")
    assert load_config() == Config()


def test_init_writes_to_the_path_it_is_given_before_the_global_one(tmp_path: Path) -> None:
    ours, other = tmp_path / "new" / "ours.yaml", tmp_path / "other.yaml"

    assert outcome(run("init", ours, file=other)) == (0, "", f"wrote {ours}\n")
    assert outcome(run("init", file=other)) == (0, "", f"wrote {other}\n")
    assert ours.read_bytes() == other.read_bytes()


def test_init_leaves_a_file_that_is_there_alone_unless_forced(user_file: Path) -> None:
    user_file.parent.mkdir(parents=True)
    user_file.write_text("model: mine")

    with pytest.raises(ConfigError) as caught:
        run("init")
    assert str(caught.value) == f"{user_file}: already exists: --force overwrites it"
    assert user_file.read_text() == "model: mine"

    assert run("init", "--force").exit_code == 0
    assert user_file.read_text(encoding="utf-8") == read_shipped("default.yaml")


def test_init_says_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError) as in_folder:
        run("init", "--force", tmp_path)
    with pytest.raises(ConfigError) as below_file:
        run("init", tmp_path / "file" / "x.yaml")

    assert str(in_folder.value) == f"{tmp_path}: is a directory: give the path of a file"
    assert str(below_file.value).startswith(f"{tmp_path / 'file' / 'x.yaml'}: cannot be written: ")


def test_check_says_ok_and_which_file(tmp_path: Path, user_file: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("agent: {max_steps: 3}")

    assert outcome(run("check", file)) == (0, f"ok: {file}\n", "")
    assert outcome(run("check", file=file)) == (0, f"ok: {file}\n", "")
    assert outcome(run("check")) == (0, f"ok: defaults, {user_file} does not exist\n", "")


def test_check_prints_a_line_for_every_mistake(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("modl: x\nagent:\n  max_steps: 0\n")

    assert outcome(run("check", file)) == (
        1,
        f"{file}:1: modl: unknown key 'modl': did you mean 'model'?\n"
        f"{file}:3: agent.max_steps: must be at least 1, not 0\n",
        "",
    )


WRONG_NAMES = """\
model: ./no.gguf
models: {small: ./neither.gguf, remote: {url: "http://x/v1", model: m, context_length: 999}}
tools: [web_fetch, ./mine.py:add, ./mine.py:ad, ./gone.py:f, ./raises.py:f]
policy: {ad: deny, "web_*": ask, "wiki__*": ask, "*": ask, "nowiki__x(a=b)": deny}
agent: {tool_choice: ad}
agents:
  r:
    model: smal
    tools: [add, "wiki__find*", web_serch]
    policy: {"wik*": deny, read_resource: ask, shout: deny}
mcp_servers:
  wiki: {command: no-such-program}
  off: {command: no-such-program, disabled: true}
  unset: {command: "${NOT_SET}"}
"""


def test_check_looks_names_and_files_up(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def add(n: int) -> int:\n    return n + 1\n")
    (tmp_path / "raises.py").write_text("raise ValueError('at import')\n")
    file = tmp_path / "c.yaml"
    file.write_text(WRONG_NAMES)

    result = run("check", file)

    found = [line.removeprefix(f"{file}:") for line in result.stdout.splitlines()]
    unset = "the environment variable NOT_SET is not set: set it, or write ${NOT_SET:-default}"
    there_is = "unknown model 'smal'; available: 'small'"
    assert found == [
        f"1: model: model '{tmp_path / 'no.gguf'}': there is no such file, and no such name under "
        "models: in the configuration",
        f"2: models.small: model '{tmp_path / 'neither.gguf'}': there is no such file, and no such "
        "name under models: in the configuration",
        f"3: tools[2]: '{tmp_path / 'mine.py'}:ad': ad not found in it: did you mean add?",
        f"3: tools[3]: '{tmp_path / 'gone.py'}:f': file not found: {tmp_path / 'gone.py'}",
        f"3: tools[4]: '{tmp_path / 'raises.py'}:f' cannot be imported: ValueError: at import "
        "(see --debug)",
        "4: policy.\"nowiki__x(a=b)\": unknown tool 'nowiki__x'",
        f"8: agents.r.model: {there_is}",
        "9: agents.r.tools[2]: unknown tool 'web_serch': did you mean 'web_fetch'?",
        "10: agents.r.policy.shout: unknown tool 'shout'",
        "12: mcp_servers.wiki.command: program not found: 'no-such-program'",
        f"14: mcp_servers.unset.command: {unset}",
    ]
    assert result.exit_code == 1


def test_check_runs_no_code_when_told_not_to(tmp_path: Path) -> None:
    (tmp_path / "raises.py").write_text("raise ValueError('at import')\n")
    file = tmp_path / "c.yaml"
    file.write_text("tools: [./raises.py:f, ./gone.py:f]\npolicy: {f: ask}\n")

    gone = tmp_path / "gone.py"
    assert outcome(run("check", "--no-imports", file)) == (
        1,
        f"{file}:1: tools[1]: file not found: {gone}\n",
        "",
    )


def test_check_of_a_file_that_is_not_there_fails(tmp_path: Path) -> None:
    result = run("check", tmp_path / "no.yaml")

    remedy = "file not found: `kronk-agent config init` creates one"
    assert outcome(result) == (1, f"{tmp_path / 'no.yaml'}: {remedy}\n", "")


def test_check_looks_at_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRONK_AGENT_ENGINE__THREADS", "0")

    assert outcome(run("check")) == (
        1,
        "KRONK_AGENT_ENGINE__THREADS: engine.threads: must be at least 1\n",
        "",
    )


def test_show_prints_what_is_in_force_as_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("agent: {max_steps: 3}\nmcp_servers: {a: {command: x, env: {K: hunter2}}}")
    monkeypatch.setenv("KRONK_AGENT_AGENT__MAX_TOKENS", "5")

    result = run("show", file=file)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "\n  max_steps: 3\n  max_tool_calls: null\n" in result.stdout
    assert "\n  max_identical_calls: 3\n  max_tokens: 5\n" in result.stdout
    assert "\n      K: '***'\n" in result.stdout
    assert "hunter2" not in result.stdout


def test_show_raises_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("modl: x")

    with pytest.raises(ConfigError, match="did you mean 'model'"):
        run("show", file=file)


def test_path_prints_the_file_and_says_when_it_is_not_there(user_file: Path) -> None:
    hint = "it does not exist: `kronk-agent config init` creates it\n"
    assert outcome(run("path")) == (0, f"{user_file}\n", hint)

    run("init")

    assert outcome(run("path")) == (0, f"{user_file}\n", "")


def test_path_follows_the_variable_and_the_global_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KRONK_AGENT_CONFIG", str(tmp_path / "a.yaml"))

    assert run("path").stdout == f"{tmp_path / 'a.yaml'}\n"
    assert run("path", file=tmp_path / "b.yaml").stdout == f"{tmp_path / 'b.yaml'}\n"


def test_schema_prints_a_json_schema() -> None:
    result = run("schema")

    schema = json.loads(result.stdout)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert sorted(schema["properties"]) == sorted(Config.model_fields)
    assert (result.exit_code, result.stderr) == (0, "")
