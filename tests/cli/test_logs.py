# ruff: noqa: E501  # the table has one case a line

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


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ("Authorization: Bearer hunter2.hunter2", "Authorization: *** ***"),
        ("sent with Bearer hunter2-hunter2", "sent with Bearer ***"),
        ('{"access_token": "hunter2", "scope": "read"}', '{"access_token": "***", "scope": "read"}'),
        ("grant_type=refresh_token&refresh_token=hunter2&x=1", "grant_type=refresh_token&refresh_token=***&x=1"),
        ("[(b'Set-Cookie', b'hunter2'), (b'Age', b'1')]", "[(b'Set-Cookie', '***'), (b'Age', b'1')]"),
        ("GET http://127.0.0.1:1/callback?code=hunter2&state=hunter3", "GET http://127.0.0.1:1/callback?code=***&state=***"),
        ("api_key='hunter2' password: hunter2", "api_key='***' password: ***"),
        ("TAVILY_API_KEY=hunter2 WEB_PASSWORD: hunter2", "TAVILY_API_KEY=*** WEB_PASSWORD: ***"),
        ("the secret agent has a token budget", "the secret agent has a token budget"),
    ],
)  # fmt: skip
def test_secrets_do_not_get_into_the_log(
    debug: bool, logged: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr(debug=debug):
        logging.getLogger("kronk_agent.host").warning("%s", logged)

    said = capsys.readouterr().err
    assert "hunter" not in said
    assert said.partition(": ")[2] == f"{shown}\n"
