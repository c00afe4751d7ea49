"""What MCP servers ask, at the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cli.terminal_program import TerminalProgram

ASKING_CHAT = str(Path(__file__).with_name("asking_chat.py"))
CTRL_C = "\x03"
CTRL_D = "\x04"


@pytest.fixture
def chat(in_terminal: Callable[..., TerminalProgram]) -> TerminalProgram:
    program = in_terminal(ASKING_CHAT)
    program.expect(">")
    return program


def start_form(chat: TerminalProgram) -> None:
    chat.type("travel\r")
    chat.expect("MCP server 'x' asks for input: Where to?")
    chat.expect("Answer it? [y/N]")
    chat.type("y\r")
    chat.expect("city (City):")


def test_a_form_is_filled_in_field_by_field_and_sent_after_a_look(chat: TerminalProgram) -> None:
    """A value that does not fit is asked for again; Enter takes the suggestion."""
    start_form(chat)
    chat.type("Oslo\r")
    chat.expect("nights (Nights) [2]:")
    chat.type("none\r")
    chat.expect("nights: must be a whole number")
    chat.expect("nights (Nights) [2]:")
    chat.type("\r")
    chat.expect("For MCP server 'x':\n  city: Oslo\n  nights: 2\nSend it? [y]es, [n]o, [e]dit")
    chat.type("y\r")
    chat.expect("It gave: accept Trip(city='Oslo', nights=2)")


def test_what_was_typed_can_be_edited_before_it_is_sent(chat: TerminalProgram) -> None:
    start_form(chat)
    chat.type("Oslo\r")
    chat.expect("nights (Nights) [2]:")
    chat.type("3\r")
    chat.expect("Send it?")
    chat.type("e\r")
    chat.expect("city (City): Oslo")
    chat.type(" S\r")
    chat.expect("nights (Nights) [2]: 3")
    chat.type("\r")
    chat.expect("Send it?")
    chat.type("y\r")
    chat.expect("It gave: accept Trip(city='Oslo S', nights=3)")


AGREES = ("Answer it? [y/N]", "y\r")
OSLO = ("city (City):", "Oslo\r")
NIGHTS = "nights (Nights) [2]:"


@pytest.mark.parametrize(
    ("steps", "action"),
    [
        ([("Answer it? [y/N]", "\r")], "decline"),
        ([("Answer it? [y/N]", CTRL_C)], "cancel"),
        ([AGREES, OSLO, (NIGHTS, CTRL_C)], "cancel"),
        ([AGREES, OSLO, (NIGHTS, "0\r"), ("nights: 0 is less", "-\r")], "cancel"),
        ([AGREES, OSLO, (NIGHTS, "3\r"), ("Send it?", "n\r")], "decline"),
        ([AGREES, OSLO, (NIGHTS, "3\r"), ("Send it?", CTRL_D)], "cancel"),
    ],
)
def test_nothing_is_sent_but_after_a_yes(
    chat: TerminalProgram, steps: list[tuple[str, str]], action: str
) -> None:
    """A no declines; Ctrl-C, Ctrl-D, and two answers that do not fit cancel."""
    chat.type("travel\r")
    for question, keys in steps:
        chat.expect(question)
        chat.type(keys)
    chat.expect(f"It gave: {action} None")


def test_the_model_is_used_only_after_a_yes(chat: TerminalProgram) -> None:
    chat.type("summarise\r")
    chat.expect(
        "MCP server 'x' asks to use the model:\n  system: Be brief.\n  user: Summarise: long"
    )
    chat.expect("Allow up to 64 tokens? [y/N]")
    chat.type("y\r")
    chat.expect("in short")


def test_a_tool_is_called_only_after_a_yes(chat: TerminalProgram) -> None:
    chat.type("folders\r")
    chat.expect("The model wants to call x__folders:\n  {}")
    chat.expect("Allow it? [y/N]")
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
