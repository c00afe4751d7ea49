"""The conversation as a person has it: in a terminal, with the keys they press."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.terminal_program import TerminalProgram

SCRIPTED_CHAT = str(Path(__file__).with_name("scripted_chat.py"))
PROMPT = ">"
CTRL_C, CTRL_D, ESC, UP = "\x03", "\x04", "\x1b", "\x1b[A"

InTerminal = Callable[..., TerminalProgram]


@pytest.fixture
def chat(in_terminal: InTerminal) -> TerminalProgram:
    program = in_terminal(SCRIPTED_CHAT)
    program.expect(PROMPT)
    return program


def test_a_turn_shows_reasoning_calls_and_the_answer(chat: TerminalProgram) -> None:
    chat.type("add\r")
    chat.expect("I should add.\nLet me see.\n")
    chat.expect('call 1 add {"a": 1, "b": 2}\n')
    chat.expect(": 3\n")
    chat.expect("It is 3.\n2 steps,")
    chat.expect(PROMPT)


def test_turns_make_one_conversation_until_a_new_one_is_started(chat: TerminalProgram) -> None:
    chat.type("one\r")
    chat.expect("You said 'one'.")
    chat.type("two\r")
    chat.expect("You said 'two'.")
    chat.type("what did I say?\r")
    chat.expect("said: one, two\n")
    chat.type("/new\r")
    chat.expect("started a new conversation\n")
    chat.type("three\r")
    chat.expect("You said 'three'.")
    chat.type("what did I say?\r")
    chat.expect("said: three\n")


def test_ctrl_c_cancels_the_turn_and_not_the_program(chat: TerminalProgram) -> None:
    chat.type("hang\r")
    chat.expect("I will never")
    chat.type(CTRL_C)
    chat.expect("\ncancelled\n")
    chat.expect(PROMPT)
    chat.type("are you there?\r")
    chat.expect("You said 'are you there?'.")
    chat.type("what did I say?\r")
    chat.expect("said: hang, are you there?\n")


def test_a_turn_cancelled_before_it_said_anything_leaves_no_trace(chat: TerminalProgram) -> None:
    chat.type("hang silently\r")
    chat.expect("thinking ...")
    chat.type(CTRL_C)
    chat.expect("cancelled\n")
    chat.type("hello\r")
    chat.expect("You said 'hello'.")
    chat.type("what did I say?\r")
    chat.expect("said: hello\n")


def test_ctrl_c_at_an_empty_prompt_says_how_to_leave(chat: TerminalProgram) -> None:
    chat.type(CTRL_C)
    chat.expect("Ctrl-D or /exit quits\n")
    chat.expect(PROMPT)


def test_ctrl_c_at_a_prompt_with_text_drops_the_text(chat: TerminalProgram) -> None:
    chat.type("never mind" + CTRL_C)
    chat.expect(PROMPT)
    chat.type("hello\r")
    assert "Ctrl-D or /exit" not in chat.expect("You said 'hello'.")


@pytest.mark.parametrize("keys", [CTRL_D, "/exit\r"])
def test_the_person_leaves_and_everything_is_closed(chat: TerminalProgram, keys: str) -> None:
    chat.type(keys)
    shown, exit_code = chat.end()
    assert shown.rstrip().endswith("closed")
    assert exit_code == 0


def test_sigterm_at_the_prompt_closes_everything(chat: TerminalProgram) -> None:
    chat.process.send_signal(signal.SIGTERM)
    shown, exit_code = chat.end()
    assert "Traceback" not in shown
    assert exit_code == 143


def test_help_lists_the_commands(chat: TerminalProgram) -> None:
    chat.type("/help\r")
    shown = chat.expect("Ctrl-C stops an answer.")
    assert all(f"\n{command}" in shown for command in ("/help", "/tools", "/new", "/exit"))


def test_tools_lists_the_tools(chat: TerminalProgram) -> None:
    chat.type("/tools\r")
    chat.expect("\nNAME  TOOLSET      DESCRIPTION\nadd   kronk-agent  Add two numbers.\n")


@pytest.mark.parametrize("text", ["/tolls", "/tolls of mine", "/save-as x.md"])
def test_an_unknown_command_is_not_sent_to_the_model(chat: TerminalProgram, text: str) -> None:
    chat.type(text + "\r")
    chat.expect(f"error: unknown command {text.split()[0]}; /help lists the commands\n")


def test_a_command_takes_nothing_after_it(chat: TerminalProgram) -> None:
    chat.type("/help me\r")
    chat.expect("error: /help takes no arguments\n")


@pytest.mark.parametrize("word", ["/quit", "/bye", "exit", "Quit"])
def test_words_of_other_programs_end_the_conversation(chat: TerminalProgram, word: str) -> None:
    chat.type(word + "\r")
    assert chat.end()[1] == 0


def test_clear_starts_a_new_conversation(chat: TerminalProgram) -> None:
    chat.type("/clear\r")
    chat.expect("started a new conversation")


def test_a_path_at_the_beginning_is_no_command(chat: TerminalProgram) -> None:
    chat.type("/etc/hosts is what?\r")
    chat.expect("You said '/etc/hosts is what?'.")


@pytest.mark.parametrize("new_line", [ESC + "\r", "\\\r"])
def test_a_message_may_have_several_lines(chat: TerminalProgram, new_line: str) -> None:
    chat.type(f"one{new_line}two\r")
    chat.expect("You said 'one\\ntwo'.")


def test_what_was_typed_is_remembered_and_private(in_terminal: InTerminal, tmp_path: Path) -> None:
    first = in_terminal(SCRIPTED_CHAT)
    first.expect(PROMPT)
    first.type("a secret\r")
    first.expect("You said 'a secret'.")
    first.expect(PROMPT)
    first.type(CTRL_D)
    first.end()
    second = in_terminal(SCRIPTED_CHAT)
    second.expect(PROMPT)
    second.type(UP + "\r")
    second.expect("You said 'a secret'.")
    history = tmp_path / "state" / "kronk-agent" / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_kept_is_told(in_terminal: InTerminal, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    chat = in_terminal(SCRIPTED_CHAT)
    chat.expect("notice: the input history is not saved: ")
    chat.expect(PROMPT)
    chat.type("hello\r")
    chat.expect("You said 'hello'.")


def test_a_file_gets_the_answers_and_the_terminal_all_else(
    in_terminal: InTerminal, tmp_path: Path
) -> None:
    out = tmp_path / "answers.txt"
    chat = in_terminal(SCRIPTED_CHAT, stdout=out)
    chat.expect(PROMPT)
    chat.type("add\r")
    assert "It is 3." not in chat.expect("2 steps,")
    chat.expect(PROMPT)
    chat.type(CTRL_D)
    chat.end()
    assert out.read_text() == "Let me see.\nIt is 3.\n"


def test_json_goes_to_the_file_line_by_line(in_terminal: InTerminal, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    chat = in_terminal(SCRIPTED_CHAT, "--json", stdout=out)
    chat.expect(PROMPT)
    chat.type("add\r")
    chat.expect("add\n")  # what was typed is shown behind the first prompt
    chat.expect(PROMPT)
    chat.type(CTRL_D)
    chat.end()
    types = [json.loads(line)["type"] for line in out.read_text().splitlines()]
    assert (types[0], types[-1]) == ("step_started", "run_finished")


def test_ctrl_c_ends_a_single_answer_with_130(in_terminal: InTerminal) -> None:
    program = in_terminal(SCRIPTED_CHAT, "hang")
    program.expect("I will never")
    program.type(CTRL_C)
    shown, exit_code = program.end()
    assert shown.endswith("\ncancelled\nclosed\n")
    assert exit_code == 130
