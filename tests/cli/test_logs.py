from __future__ import annotations

import logging

import pytest

from kronk_agent.cli.logs import logging_to_stderr


def log_everything() -> None:
    try:
        raise ValueError("with a traceback")
    except ValueError:
        logging.getLogger("kronk_agent.chat").warning("the schema of %s\nis relaxed", "add")
        logging.getLogger("kronk_agent.agent").exception("a tool failed")
        logging.getLogger("kronk_agent").info("a detail")
        logging.getLogger("mcp.client").exception("not JSON")


def test_our_warnings_are_shown_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(debug=False):
        log_everything()
    said = capsys.readouterr().err
    assert said == "warning: the schema of add is relaxed\nerror: a tool failed\n"


def test_debug_shows_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to_stderr(debug=True):
        log_everything()
    said = capsys.readouterr().err
    assert "INFO kronk_agent: a detail\n" in said
    assert "ERROR mcp.client: not JSON\nTraceback" in said


def test_afterwards_logging_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with logging_to_stderr(debug=True):
        pass
    assert (root.level, root.handlers) == before


@pytest.mark.parametrize("debug", [False, True])
def test_what_a_server_calls_itself_does_not_steer_the_terminal(
    debug: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr(debug=debug):
        logging.getLogger("kronk_agent.host").warning("left out %s", "\x1b]0;pwned\x07\x1b[2Jbad")

    assert capsys.readouterr().err.endswith("left out ]0;pwned[2Jbad\n")


def test_an_inner_block_takes_the_place_of_an_outer_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_to_stderr(debug=False), logging_to_stderr(debug=True):
        logging.getLogger("kronk_agent").warning("once")

    assert capsys.readouterr().err == "WARNING kronk_agent: once\n"
