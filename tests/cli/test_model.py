from __future__ import annotations

import json
from pathlib import Path

import pytest
from chat.support import HERMES_TEMPLATE
from click.testing import CliRunner

from kronk_agent.cli.app import app


@pytest.mark.e2e
def test_a_model_is_shown_with_what_its_template_can_do(starter_model: Path) -> None:
    result = CliRunner().invoke(app, ["model", "show", str(starter_model), "--json"])

    shown = json.loads(result.stdout)
    assert (shown["vocabulary_size"], shown["trained_context_length"]) == (49152, 8192)
    assert shown["capabilities"] == ["chat", "generate", "tools"]
    assert shown["template"] == {
        "dialect": "generic",
        "tools": False,
        "parallel_tool_calls": False,
        "system": True,
        "thinking": False,
        "images": False,
        "audio": False,
        "calls_in_code_blocks": False,
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


@pytest.fixture
def mended(tmp_path: Path, starter_model: Path) -> Path:
    """A configuration whose model has a chat template of its own, in the same folder."""
    config = tmp_path / "config.yaml"
    config.write_text(
        f"model: mended\nmodels:\n  mended: {{path: {starter_model}, template: ./mine.jinja}}\n"
    )
    (tmp_path / "mine.jinja").write_text(HERMES_TEMPLATE)
    return config


def test_a_model_is_shown_with_the_template_of_the_configuration(mended: Path) -> None:
    result = CliRunner().invoke(app, ["--config", str(mended), "model", "show", "--json"])

    shown = json.loads(result.stdout)
    assert shown["chat_template"] == str(mended.parent / "mine.jinja")
    assert (shown["template"]["dialect"], shown["template"]["tools"]) == (
        "native-json",
        True,
    )


def test_a_template_that_is_no_jinja_is_named(mended: Path) -> None:
    template = mended.parent / "mine.jinja"
    template.write_text("one\n{% if %}")

    result = CliRunner().invoke(app, ["--config", str(mended), "model", "show"])

    assert result.exit_code == 1
    assert f"{template}: the model's chat template has an error in line 2" in result.stderr
