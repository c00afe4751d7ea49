from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from kronk_agent.cli.app import app


@pytest.mark.e2e
def test_a_model_is_shown_with_what_its_template_can_do(starter_model: Path) -> None:
    result = CliRunner().invoke(app, ["model", "show", str(starter_model), "--json"])

    shown = json.loads(result.stdout)
    assert (shown["vocabulary_size"], shown["trained_context_length"]) == (49152, 8192)
    assert shown["capabilities"] == {
        "dialect": "generic",
        "tools": False,
        "parallel_tool_calls": False,
        "system": True,
        "thinking": False,
        "images": False,
        "audio": False,
    }


@pytest.mark.e2e
def test_a_model_is_shown_in_lines() -> None:
    result = CliRunner().invoke(app, ["model", "show"])

    assert result.exit_code == 0
    assert "dialect               generic\n" in result.stdout
    assert "system                yes\n" in result.stdout


def test_a_model_there_is_not_is_one_line_on_stderr() -> None:
    result = CliRunner().invoke(app, ["model", "show", "nowhere.gguf"])

    assert result.exit_code == 1
    assert "nowhere.gguf" in result.stderr
