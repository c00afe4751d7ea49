"""What MCP servers ask, at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli.terminal_program import TerminalProgram

ASKING_CHAT = str(Path(__file__).with_name("asking_chat.py"))
CTRL_C = "\x03"


@pytest.fixture
def chat(in_terminal: Callable[..., TerminalProgram]) -> TerminalProgram:
    program = in_terminal(ASKING_CHAT)
    program.expect(">")
    return program


def test_a_form_is_filled_in_field_by_field(chat: TerminalProgram) -> None:
    """A value that does not fit is asked for again; Enter takes the suggestion."""
    chat.type("travel\r")
    chat.expect("MCP server 'x' asks: Where to?")
    chat.expect("Answer it? [y/N]")
    chat.type("y\r")
    chat.expect("city (City):")
    chat.type("Oslo\r")
    chat.expect("nights (Nights) [2]:")
    chat.type("none\r")
    chat.expect("nights: 'none' is not of type 'integer'")
    chat.expect("nights (Nights) [2]:")
    chat.type("\r")
    chat.expect("It gave: accept Trip(city='Oslo', nights=2)")


def test_ctrl_c_declines(chat: TerminalProgram) -> None:
    chat.type("travel\r")
    chat.expect("Answer it? [y/N]")
    chat.type(CTRL_C)
    chat.expect("It gave: decline None")


def test_the_model_is_used_only_after_a_yes(chat: TerminalProgram) -> None:
    chat.type("summarise\r")
    chat.expect(
        "MCP server 'x' asks to use the model:\n  system: Be brief.\n  user: Summarise: long"
    )
    chat.expect("Let it, for up to 64 tokens? [y/N]")
    chat.type("y\r")
    chat.expect("in short")


def test_a_tool_is_called_only_after_a_yes(chat: TerminalProgram) -> None:
    chat.type("folders\r")
    chat.expect("The model wants to call x__folders:\n  {}")
    chat.expect("Let it? [y/N]")
    chat.type("\r")
    chat.expect("x__folders was not called: the user did not agree")


def test_a_mentioned_resource_is_attached(chat: TerminalProgram) -> None:
    chat.type("look at @x:note://today\r")
    chat.expect("There are 2 parts")
    chat.expect("Water the plants.")
    chat.type("look at @x:note://nothing\r")
    chat.expect("error: MCP server 'x' refused the request")
    chat.expect(">")


def test_what_cannot_be_seen_in_a_call_is_shown_as_numbers(chat: TerminalProgram) -> None:
    chat.type("hidden\r")
    chat.expect("The model wants to call x__write_note:")
    chat.expect(r"safe\u{202e}\u{200b}")
    chat.type("\r")
