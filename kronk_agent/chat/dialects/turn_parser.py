"""Reads a whole turn as it is generated: thinking, if any, and then text and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from kronk_agent.chat.dialects.call_format import CallFormat, ThinkingTags
from kronk_agent.chat.dialects.call_parser import CallParser, new_call_id
from kronk_agent.chat.marks import BlankTrimmer, MarkFinder
from kronk_agent.messages import Delta, ReasoningDelta, TextDelta


class TurnParser:
    """Turns the text of one turn into deltas.

    Args:
        format: how calls are written; None leaves what looks like a call in the text.
        thinking: marks of the thinking the turn may begin with.
        is_thinking_open: the prompt has begun the thinking already.
        new_id: makes the id of each call.
    """

    def __init__(
        self,
        format: CallFormat | None,
        *,
        thinking: ThinkingTags | None = None,
        is_thinking_open: bool = False,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self._calls = None if format is None else CallParser(format, new_id)
        self._thinking = None if thinking is None else _Thinking(thinking, is_thinking_open)

    @property
    def num_calls(self) -> int:
        """Complete calls so far."""
        return 0 if self._calls is None else self._calls.num_calls

    @property
    def is_inside_call(self) -> bool:
        """Has a call begun that is not complete?"""
        return self._calls is not None and self._calls.is_inside_call

    @property
    def is_thinking(self) -> bool:
        return self._thinking is not None and self._thinking.state == "thinking"

    def push(self, text: str) -> list[Delta]:
        """The deltas this text adds."""
        if self._thinking is None:
            return self._read_answer(text)
        thought, answer = self._thinking.push(text)
        thoughts: list[Delta] = [ReasoningDelta(thought)] if thought else []
        return thoughts + self._read_answer(answer)

    def finish(self) -> list[Delta]:
        """The deltas of what was held back; a call that was cut off gets no ``ToolCallEnd``."""
        held = "" if self._thinking is None else self._thinking.finish()
        if self.is_thinking:
            return [ReasoningDelta(held)] if held else []
        return self._read_answer(held) + ([] if self._calls is None else self._calls.finish())

    def _read_answer(self, text: str) -> list[Delta]:
        if self._calls is not None:
            return self._calls.push(text)
        return [TextDelta(text)] if text else []


class _Thinking:
    """Divides a turn into what is thought and what is answered, without the blanks around them."""

    def __init__(self, tags: ThinkingTags, is_open: bool) -> None:
        self.state: Literal["before", "thinking", "after", "answering"] = (
            "thinking" if is_open else "before"
        )
        self._begin = tags.begin
        self._end = MarkFinder(tags.end)
        self._blanks = BlankTrimmer()
        self._held = ""
        self._has_thought = False

    def push(self, text: str) -> tuple[str, str]:
        """What this text adds to the thought and to the answer."""
        thought = ""
        if self.state == "before":
            text = self._skip_begin(text)
        if self.state == "thinking":
            thought, text = self._skip_end(text)
        if self.state == "after":
            text = text.lstrip()
            self.state = "answering" if text else "after"
        return thought, text

    def finish(self) -> str:
        """What was held back."""
        if self.state == "before":
            return self._held
        return self._trimmed(self._end.flush())

    def _skip_begin(self, text: str) -> str:
        held = self._held + text
        if len(held) < len(self._begin) and self._begin.startswith(held):
            self._held = held
            return ""
        self._held = ""
        self.state = "thinking" if held.startswith(self._begin) else "answering"
        return held.removeprefix(self._begin)

    def _skip_end(self, text: str) -> tuple[str, str]:
        clear, rest = self._end.push(text)
        if rest is not None:
            self.state = "after"
        return self._trimmed(clear), rest or ""

    def _trimmed(self, text: str) -> str:
        trimmed = self._blanks.push(text)
        if not self._has_thought:
            trimmed = trimmed.lstrip()
            self._has_thought = trimmed != ""
        return trimmed
