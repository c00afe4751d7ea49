from __future__ import annotations

from pathlib import Path

import pytest

from kronk_agent.config.schema.config import McpServerConfig
from kronk_agent.errors import ServerUnavailableError
from kronk_agent.host.transport.environment import added_environment

ENVIRON = {"NODE_OPTIONS": "n", "NODE_ENV": "e", "SECRET": "s", "NODE_EVIL": "() { :; }"}


def config(**more: object) -> McpServerConfig:
    return McpServerConfig.model_validate({"command": "x", **more})


def test_nothing_is_added_unless_the_configuration_says_so() -> None:
    assert added_environment(config(), ENVIRON) == {}


def test_variables_are_inherited_by_name_and_pattern_but_never_shell_functions() -> None:
    inherited = added_environment(config(inherit_env=["NODE_*", "MISSING"]), ENVIRON)

    assert inherited == {"NODE_OPTIONS": "n", "NODE_ENV": "e"}


def test_env_wins_over_the_file_and_the_file_over_what_is_inherited(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# keys\nexport SECRET='from file'\nB=\"two\\nlines\"\nC=$SECRET # raw\nD=\n")

    added = added_environment(
        config(env={"B": "env"}, env_file=file, inherit_env=["SECRET"]), ENVIRON
    )

    assert added == {"SECRET": "from file", "B": "env", "C": "$SECRET", "D": ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nhunter2\n", "cannot use line 2 of env_file FILE: write NAME=value"),
        (b"A=1\nB='hunter2\n", "cannot use line 2 of env_file FILE: write NAME=value"),
        (b"A=\xff", "env_file FILE is not UTF-8 text"),
        (None, "cannot read env_file FILE: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_without_what_is_in_it(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / ".env"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ServerUnavailableError) as caught:
        added_environment(config(env_file=file), {})

    assert str(caught.value) == message.replace("FILE", str(file))
