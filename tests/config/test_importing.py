"""A real file of every host, read and written as ours: the same servers, run the same way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kronk_agent.config.loading import load_config
from kronk_agent.config.mcp_clients.importing import (
    FoundServer,
    ImportedServer,
    UnusableServer,
    read_any_file,
    read_host_file,
)
from kronk_agent.config.mcp_clients.known_clients import IMPORTABLE, files_of, recognize_file
from kronk_agent.config.schema.mcp_server import McpServerConfig
from kronk_agent.config.secrets import secrets_in, without_secrets
from kronk_agent.config.yaml.editing import with_servers
from kronk_agent.errors import ConfigError
from kronk_agent.messages import JsonObject

HOSTS = Path(__file__).parent / "hosts"
ENVIRON = {
    "GITHUB_TOKEN": "t1",
    "DSN": "t2",
    "API_KEY": "t3",
    "LANG": "C",
    "HTTPS_PROXY": "t4",
    "DB_URL": "t5",
    "KEY": "t6",
    "FIGMA_OAUTH_TOKEN": "t7",
    "FIGMA_USER": "t8",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("CODEX_HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    return project


def put(sample: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(HOSTS / sample, path)
    return path


def read(path: Path, home: Path, project: Path) -> list[ImportedServer]:
    return read_any_file(path, home=home, working_directory=project)


def written(imports: list[ImportedServer], tmp_path: Path) -> dict[str, McpServerConfig]:
    """The servers after they went into a file of ours and came out again."""
    entries = {found.name: found.entry for found in imports if isinstance(found, FoundServer)}
    file = tmp_path / "ours.yaml"
    file.write_text(with_servers("# mine\nmodel: null\n", entries, file))
    return load_config(file, environ=ENVIRON).mcp_servers


def unusable(imports: list[ImportedServer]) -> dict[str, str]:
    return {found.name: found.reason for found in imports if isinstance(found, UnusableServer)}


def notes(imports: list[ImportedServer]) -> dict[str, tuple[str, ...]]:
    return {
        found.name: found.notes
        for found in imports
        if isinstance(found, FoundServer) and found.notes
    }


def config(**keys: object) -> McpServerConfig:
    return McpServerConfig.model_validate(keys)


def test_claude_desktop(tmp_path: Path, home: Path, project: Path) -> None:
    imports = read(
        put("claude_desktop_config.json", tmp_path / "claude_desktop_config.json"), home, project
    )

    assert written(imports, tmp_path) == {
        "filesystem": config(
            command="npx", args=["-y", "@modelcontextprotocol/server-filesystem", "/home/ann/notes"]
        ),
        "Brave-Search": config(
            command="npx",
            args=["-y", "@modelcontextprotocol/server-brave-search"],
            env={"BRAVE_API_KEY": "BSA-hunter2-hunter2"},
        ),
        "literal": config(command="sh", args=["-c", "echo ${HOME}"]),
    }
    assert notes(imports) == {"Brave-Search": ("renamed from 'Brave Search'",)}


def test_claude_code(tmp_path: Path, home: Path, project: Path) -> None:
    imports = read(put("claude-code.mcp.json", project / ".mcp.json"), home, project)

    assert written(imports, tmp_path) == {
        "github": config(
            type="http",
            url="https://api.example.com/mcp",
            headers={"Authorization": "Bearer t1"},
            timeout=120,
        ),
        "db": config(
            type="stdio",
            command=str(project / "tools/db.sh"),
            args=["--dsn", "t2"],
            env={"CACHE": "/tmp"},
            cwd=project,
        ),
        "slack": config(
            type="http",
            url="https://slack.example.com/mcp",
            oauth={
                "client_id": "1.2",
                "callback_port": 3118,
                "scopes": ["channels:read", "chat:write"],
            },
        ),
    }
    assert notes(imports) == {"db": ("dropped timeout: Claude Code ignores values below 1 s",)}
    assert unusable(imports) == {
        "vault": "headersHelper: not supported: put the headers into headers, as ${VAR}"
    }


def test_vs_code(tmp_path: Path, home: Path, project: Path) -> None:
    imports = read(put("vscode.mcp.json", project / ".vscode/mcp.json"), home, project)

    assert written(imports, tmp_path) == {
        "perplexity": config(
            type="stdio",
            command="npx",
            args=["-y", "server-perplexity", f"{project}/src"],
            env={"API_KEY": "t3", "LANG": "C"},
            env_file=project / ".env",
            cwd=project,
        ),
        "docs": config(type="http", url="https://docs.example.com/mcp"),
    }
    assert notes(imports) == {
        "perplexity": ("dropped dev, which has no effect here",),
        "docs": ("dropped gallery, which has no effect here",),
    }
    assert {name: reason.partition(":")[0] for name, reason in unusable(imports).items()} == {
        "boxed": "sandboxEnabled",
        "socket": "url",
    }


def test_cursor(tmp_path: Path, home: Path, project: Path) -> None:
    imports = read(put("cursor.mcp.json", home / ".cursor/mcp.json"), home, project)

    assert written(imports, tmp_path) == {
        "web": config(
            command="uvx",
            args=["mcp-server-fetch"],
            env={"PROXY": "t4", "HOME_DIR": f"{home}/x"},
        ),
        "remote": config(
            url="https://remote.example.com/sse",
            headers={"X-Api-Key": "abc"},
            oauth={"client_id": "c", "client_secret": "hunter2", "scopes": ["read"]},
        ),
    }
    assert (notes(imports), unusable(imports)) == ({}, {})


def test_gemini_cli(tmp_path: Path, home: Path, project: Path) -> None:
    imports = read(put("gemini.settings.json", home / ".gemini/settings.json"), home, project)

    assert written(imports, tmp_path) == {
        "py": config(
            command="python",
            args=["-m", "server", "--port", "8080"],
            cwd=home / "mcp-servers/python",
            env={"DATABASE_URL": "t5", "KEY": "t6"},
            timeout=15,
            trust=True,
            tools={"allow": ["safe_tool"], "deny": ["danger"]},
        ),
        "old": config(url="https://old.example.com/events", type="sse", timeout=5),
        "new": config(
            url="https://new.example.com/mcp", type="http", headers={"Authorization": "Bearer abc"}
        ),
    }
    assert unusable(imports) == {
        "google": "authProviderType: only OAuth is supported: put a token into headers, as ${VAR}"
    }


def test_codex(tmp_path: Path, home: Path, project: Path) -> None:
    imports = read(put("codex.config.toml", home / ".codex/config.toml"), home, project)

    assert written(imports, tmp_path) == {
        "context7": config(
            command="npx",
            args=["-y", "@upstash/context7-mcp"],
            env={"LOCAL": "value"},
            inherit_env=["NODE_OPTIONS"],
            startup_timeout=20,
            timeout=45,
            tools={"allow": ["search", "fetch"], "deny": ["delete"]},
        ),
        "figma": config(
            url="https://mcp.figma.example/mcp",
            headers={"Authorization": "Bearer t7", "X-Region": "us-east-1", "X-User": "t8"},
            disabled=True,
            required=True,
        ),
    }
    assert (notes(imports), unusable(imports)) == ({}, {})


def test_cline(tmp_path: Path, home: Path, project: Path) -> None:
    path = put("cline_mcp_settings.json", tmp_path / "settings" / "cline_mcp_settings.json")
    imports = read(path, home, project)

    assert written(imports, tmp_path) == {
        "weather": config(
            command="node",
            args=["/opt/weather/index.js"],
            disabled=True,
            policy={"forecast": "allow", "*": "ask"},
            timeout=90,
        ),
        "linear": config(url="https://mcp.linear.example/mcp", type="http", policy={"*": "ask"}),
    }


def test_claude_codes_own_file_has_servers_of_single_projects(home: Path, project: Path) -> None:
    file = home / ".claude.json"
    file.write_text(
        '{"mcpServers": {"a": {"command": "x"}}, "projects": {'
        f'"{project}": {{"mcpServers": {{"b": {{"command": "y"}}}}}}, '
        '"/elsewhere": {"mcpServers": {"c": {"command": "z"}}}}}'
    )

    imports = read(file, home, project)

    assert [(found.name, found.entry) for found in imports if isinstance(found, FoundServer)] == [
        ("a", {"command": "x"}),
        ("b", {"command": "y", "cwd": str(project)}),
    ]


@pytest.mark.parametrize(
    ("block", "timeout", "note"),
    [
        ({"timeout": 30}, 30, ()),
        ({"timeout": 1500}, 1.5, ()),
        ({"timeout": 100_000_000}, 7200, ("timeout reduced to the maximum, 7200 s",)),
        ({"colour": "red"}, 60, ("dropped colour, which is unknown",)),
    ],
)
def test_a_file_of_an_unknown_host_is_read_with_care(
    tmp_path: Path, home: Path, project: Path, block: JsonObject, timeout: float, note: tuple[str]
) -> None:
    file = tmp_path / "servers.json"
    file.write_text(json.dumps({"mcpServers": {"a": {"command": "${env:X}${Y}", **block}}}))

    (found,) = read(file, home, project)

    assert isinstance(found, FoundServer)
    assert McpServerConfig.model_validate(found.entry).timeout == timeout
    assert (found.entry["command"], found.notes) == ("${X}${Y}", note)


def test_names_that_become_alike_are_told_apart(tmp_path: Path, home: Path, project: Path) -> None:
    file = tmp_path / "servers.json"
    names = ["a b", "a-b", "a.b", "!", "x" * 40]
    file.write_text(
        '{"mcpServers": {' + ",".join(f'"{name}": {{"command": "x"}}' for name in names) + "}}"
    )

    assert [found.name for found in read(file, home, project)] == [
        "a-b",
        "a-b-2",
        "a-b-3",
        "server",
        "x" * 32,
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.json", "{", "is not valid JSON: see line 1"),
        ("x.json", "[]", "is not a file of an MCP host"),
        ("x.json", "{}", "contains neither mcpServers, servers nor mcp_servers"),
        ("x.json", '{"mcpServers": []}', "mcpServers is not a mapping"),
        ("x.toml", "a =\n", "is not valid TOML: see line 1"),
        ("x.json", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_of_no_use_is_told(
    tmp_path: Path, home: Path, project: Path, name: str, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)

    with pytest.raises(ConfigError) as caught:
        read(tmp_path / name, home, project)

    assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_every_host_is_recognised_by_its_own_files(home: Path, project: Path) -> None:
    for host in IMPORTABLE:
        for file in files_of(host, home=home, working_directory=project):
            root = frozenset({"servers"} if host == "vscode" else {"mcpServers"})
            assert recognize_file(file.path, root, home=home) == file


def test_a_host_is_read_where_it_keeps_its_files(home: Path, project: Path) -> None:
    put("cursor.mcp.json", home / ".cursor/mcp.json")
    (_, own) = files_of("cursor", home=home, working_directory=project)

    imports = read_host_file(own, home=home, working_directory=project)

    assert [found.name for found in imports] == ["web", "remote"]


def test_what_looks_like_a_secret_can_be_taken_from_the_environment() -> None:
    entry: JsonObject = {
        "env": {"API_KEY": "k", "LANG": "C", "X": "ghp_abcdefghijklmnop", "SET_KEY": "${K}"},
        "headers": {"Authorization": "Bearer t", "X-Region": "eu"},
        "oauth": {"client_id": "id", "client_secret": "s"},
    }

    assert [(secret.key, secret.variable) for secret in secrets_in("my-work", entry)] == [
        ("env.API_KEY", "API_KEY"),
        ("env.X", "X"),
        ("headers.Authorization", "MY_WORK_AUTHORIZATION"),
        ("oauth.client_secret", "MY_WORK_CLIENT_SECRET"),
    ]
    assert without_secrets("my-work", entry) == {
        "env": {"API_KEY": "${API_KEY}", "LANG": "C", "X": "${X}", "SET_KEY": "${K}"},
        "headers": {"Authorization": "Bearer ${MY_WORK_AUTHORIZATION}", "X-Region": "eu"},
        "oauth": {"client_id": "id", "client_secret": "${MY_WORK_CLIENT_SECRET}"},
    }
