"""Messages that the loop adds on the user's behalf when a model would get stuck.

They are part of a single request, not of the conversation. Measured with Qwen2.5-Coder 1.5B,
greedy, on 29 states of jobs whose last message is a tool result. Where the next turn should be the
answer, the model answered correctly in 1 of 16 without a reminder (it mostly repeated its call), in
13 with ``ANSWER_NOW`` and in 14 with the reminder. Where another call was due, it made the right
one in 11 of 13 without a reminder, and in none with any reminder that was tried. So one is added
only where a repeated call shows that the model does not make progress by itself, and where it must
answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from kronk_agent.agent.tool_calls.repeat_guard import RepeatGuard
from kronk_agent.messages import Message

ANSWER_NOW = Message.user(
    "You have the results. Answer my question in words now, without calling a tool."
)
"""Asks for the answer in a step in which tools are disabled."""

_MAX_QUESTION_CHARS = 2000
"""Longer questions are not repeated."""
_ENOUGH = (
    "(The results so far are above. If they are enough, answer in words. If not, call the next "
    "tool.)"
)
_FAILED = "(That call failed the same way again. Make a different call, or say what is wrong.)"
_TOLD = (
    "(That call was made {} times in a row with the same result. Do not make it again: answer in "
    "words, or make a different call.)"
)


def reminder(messages: Sequence[Message], repeats: RepeatGuard) -> Message:
    """Repeat the question with advice, for a model that has just repeated a call."""
    asked = next((m.text for m in reversed(messages) if m.role == "user"), "")
    if repeats.has_failed:
        advice = _FAILED
    else:
        advice = _TOLD.format(repeats.count) if repeats.is_at_limit else _ENOUGH
    return Message.user(f"{asked}\n\n{advice}" if 0 < len(asked) <= _MAX_QUESTION_CHARS else advice)
