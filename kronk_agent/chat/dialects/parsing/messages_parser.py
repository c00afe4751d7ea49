"""Base of the parsers of turns that consist of several messages with headers, such as Harmony's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kronk_agent.chat.dialects.formats.call_format import Tools
from kronk_agent.chat.dialects.parsing.output import Output, new_call_id
from kronk_agent.chat.dialects.parsing.reader import Delimiters, Reading, StreamReader
from kronk_agent.chat.dialects.parsing.text_filters import (
    DelimiterFilter,
    FenceFilter,
    TextFilter,
    TrimFilter,
)
from kronk_agent.messages import Delta


class MessagesParser:
    """State shared by these parsers; a subclass reads the headers in ``_read``.

    Args:
        tools: the tools that may be called.
        separate_reasoning: False leaves thinking in the text, with its delimiters.
        strips_fences: the answer is JSON; blanks and code fences around it are dropped.
        new_id: makes the id of each call.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        separate_reasoning: bool = True,
        strips_fences: bool = False,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.is_thinking = False
        self.is_answering = False
        """True while text is read."""
        self._tools = tools
        self._reader = StreamReader()
        self._output = Output(new_id)
        self._separates = separate_reasoning
        self._text = (
            FenceFilter(self._output.text) if strips_fences else TextFilter(self._output.text)
        )
        self._reading = self._read()
        next(self._reading, None)

    @property
    def num_calls(self) -> int:
        """Complete calls so far."""
        return self._output.num_calls

    @property
    def is_inside_call(self) -> bool:
        """True if a call has started and is not complete."""
        return self._output.is_inside_call

    def push(self, text: str) -> list[Delta]:
        """Add text and return its deltas."""
        if text:
            self._reader.push(text)
            next(self._reading, None)
        return self._output.take()

    def finish(self, *, is_cut: bool = False) -> list[Delta]:
        """End the turn and return the deltas of held text.

        An incomplete call gets no ``ToolCallEnd``.
        """
        self._reader.close(is_cut=is_cut)
        next(self._reading, None)
        self._text.finish()
        return self._output.take()

    def _read(self) -> Reading[None]:
        raise NotImplementedError
        yield

    def _read_thought(self, begin: str, end: str) -> Reading[None]:
        self.is_thinking = True
        thought = (
            TrimFilter(self._output.reasoning)
            if self._separates
            else DelimiterFilter(self._text.push, begin)
        )
        if (yield from self._reader.until(Delimiters([end]), thought.push)) is None:
            return
        self.is_thinking = False
        if not self._separates and thought.has_begun:
            self._text.push(end)

    def _read_text(self, ends: Sequence[str]) -> Reading[str | None]:
        self.is_answering = True
        end = yield from self._reader.until(Delimiters(ends), self._text.push)
        if end is not None:
            self.is_answering = False
        return end

    def _read_json_call(self, name: str) -> Reading[bool]:
        """Read a call's arguments as a JSON object; false if it is missing or cut off."""
        yield from self._reader.take_blanks()
        if (yield from self._reader.peek(1)) != "{":
            return False
        self._output.begin_call(name)
        if not (yield from self._reader.json_value(self._output.arguments)):
            return False
        self._output.end_call()
        return True

    def _skip_to(self, ends: Sequence[str]) -> Reading[None]:
        yield from self._reader.until(Delimiters(ends), lambda _: None)
